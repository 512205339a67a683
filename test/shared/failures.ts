/** What a call throws, to be looked at. A call that throws something else, or nothing, fails the test. */
import { CniError } from '../../shared/cni/errors.ts'

export function failureOf(work: () => unknown): CniError {
  try {
    work()
  } catch (error) {
    if (error instanceof CniError) return error
    throw error
  }
  throw new Error('the call was expected to throw, and returned')
}
