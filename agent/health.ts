/** Whether the agent is well: its process turns; and whether claims could be written, which starting it anew would not mend. */
import { openStore, type Store } from '../ipam/index.ts'
import { monotonicMs } from '../shared/clock.ts'
import { CniError } from '../shared/cni/errors.ts'
import { messageOf } from '../shared/message.ts'

/** A call of its own would have been faster long since. */
const delayMaxMs = 1000
const tickMs = 500
/** The worst delay of so many ticks is told: ten seconds. */
const ticks = 20
/** Whoever asks more often gets the last answer. */
const freshMs = 1000

/** How late the process comes to what it was to do at a time. */
class LoopDelay {
  readonly #late: number[] = []
  #timer: NodeJS.Timeout | undefined

  start(): void {
    let dueMs = monotonicMs() + tickMs
    this.#timer = setInterval(() => {
      const nowMs = monotonicMs()
      this.#late.push(Math.max(0, nowMs - dueMs))
      if (this.#late.length > ticks) this.#late.shift()
      dueMs = nowMs + tickMs
    }, tickMs).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  worstMs(): number {
    return Math.max(0, ...this.#late)
  }

  /** Of the last two ticks: what is over is over. */
  nowMs(): number {
    return Math.max(0, ...this.#late.slice(-2))
  }
}

/** Throws unless a claim could take the lock now, or later when somebody else has it. */
function checkStore(store: Store): void {
  store.checkWritable()
  // Where hosts share the directory the lock is a matter of many round trips, in which the process would stand still.
  if (store.shared) return
  try {
    store.locked(() => undefined)
  } catch (error) {
    if (!(error instanceof CniError && error.errorName === 'ERR_TRY_AGAIN')) throw error
  }
}

export class Health implements Disposable {
  readonly delay = new LoopDelay()
  /** Its own, which does not wait for the lock. */
  readonly #store: Store
  #last: { readonly atMs: number; readonly trouble: string | undefined } | undefined

  constructor(dataDir: string) {
    this.#store = openStore(dataDir, { waitMs: 0 })
    this.delay.start()
  }

  /** What is wrong with the process; undefined when nothing is. */
  delayTrouble(): string | undefined {
    const lateMs = this.delay.nowMs()
    return lateMs > delayMaxMs
      ? `the process was ${lateMs.toFixed(0)} ms late, and at most ${delayMaxMs} are well`
      : undefined
  }

  /** What is wrong with the store; undefined when nothing is. */
  storeTrouble(): string | undefined {
    const atMs = monotonicMs()
    if (this.#last === undefined || atMs - this.#last.atMs > freshMs)
      this.#last = { atMs, trouble: this.#lookAtStore() }
    return this.#last.trouble
  }

  #lookAtStore(): string | undefined {
    try {
      checkStore(this.#store)
      return undefined
    } catch (error) {
      return messageOf(error)
    }
  }

  [Symbol.dispose](): void {
    this.delay.stop()
  }
}
