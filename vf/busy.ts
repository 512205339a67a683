/**
 * A VF resets itself when its PF has told it something, some milliseconds to seconds long. Meanwhile its driver cannot set its interface up
 * (EBUSY), and the PF's may not take the next wish (EAGAIN): both are asked again.
 */
import { monotonicMs, pause } from '../shared/clock.ts'
import { SystemError } from '../shared/host/libc.ts'

export const settleMaxMs = 2000
export const pollMs = 20

export function isBusy(error: unknown): boolean {
  if (error instanceof SystemError) return ['EBUSY', 'EAGAIN'].includes(error.code)
  return error instanceof Error && error.cause !== undefined && isBusy(error.cause)
}

/** Looks until there is something to be seen; undefined when that takes longer than `maxMs`. */
export async function untilSeen<T>(look: () => Promise<T | undefined>, maxMs: number): Promise<T | undefined> {
  const deadlineMs = monotonicMs() + maxMs
  for (;;) {
    const found = await look()
    if (found !== undefined || monotonicMs() >= deadlineMs) return found
    await pause(pollMs)
  }
}

/** Does `work`, and again for as long as that fails because the VF is busy, two seconds at most. It must bear repetition. */
export async function whileBusy<T>(work: () => T | Promise<T>): Promise<T> {
  const deadlineMs = monotonicMs() + settleMaxMs
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!isBusy(error) || monotonicMs() >= deadlineMs) throw error
    }
    await pause(pollMs)
  }
}
