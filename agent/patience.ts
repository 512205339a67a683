/** Waiting for what another process holds, without stopping those who do not wait for it. */
import { setTimeout as pause } from 'node:timers/promises'
import { lockWaitMaxMs } from '../ipam/index.ts'
import { monotonicMs } from '../shared/clock.ts'
import { CniError } from '../shared/cni/errors.ts'

const pauseMs = 2

/** Whether somebody else was in the way, who may be gone the next time. */
const isBusy = (error: unknown): boolean => error instanceof CniError && error.errorName === 'ERR_TRY_AGAIN'

/** Runs `work` again and again while it throws ERR_TRY_AGAIN, as long as a call in a process of its own waits; throws its last error then. */
export async function patiently<T>(work: () => T, deadlineMs = monotonicMs() + lockWaitMaxMs): Promise<T> {
  for (;;) {
    try {
      return work()
    } catch (error) {
      if (!isBusy(error) || monotonicMs() >= deadlineMs) throw error
    }
    await pause(pauseMs)
  }
}
