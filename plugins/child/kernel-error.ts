import { CniError } from '../../shared/cni/errors.ts'
import { SystemError } from '../../shared/host/libc.ts'

/** What a kernel without the module says of a kind of link; it refuses other things with the same code. */
export const isUnknownKind = ({ message }: SystemError): boolean => message.includes('Unknown device type')

/** The kernel's refusal as an error that begins with `what`; any other error as it is. */
export function inWords(error: unknown, what: string): unknown {
  if (!(error instanceof SystemError)) return error
  return new CniError('ERR_KERNEL', `${what}: ${error.message}`, { cause: error })
}
