/**
 * Claims that come while others are being written are written together next: one stay in the lock and one sync of the disk for
 * all of them.
 */
import { type Claim, type Claimed, claimTogether, type Store } from '../ipam/index.ts'
import { monotonicMs } from '../shared/clock.ts'
import { isBusy, patienceMs } from './patience.ts'

/** One sync covers them; the calls that come meanwhile wait no longer than it takes to write so many. */
const groupMaxClaims = 64
const pauseMs = 2

interface Waiting {
  readonly claim: Claim
  readonly deadlineMs: number
  readonly settle: PromiseWithResolvers<Claimed>
}

export class GroupCommit {
  readonly #store: Store
  #waiting: Waiting[] = []
  #scheduled = false

  constructor(store: Store) {
    this.#store = store
  }

  /** Errors: those of claimAddresses. */
  claim(claim: Claim): Promise<Claimed> {
    const settle = Promise.withResolvers<Claimed>()
    this.#waiting.push({ claim, deadlineMs: monotonicMs() + patienceMs, settle })
    // After all that has come in at the same time was read.
    if (!this.#scheduled) setImmediate(() => this.#flush())
    this.#scheduled = true
    return settle.promise
  }

  #flush(): void {
    const group = this.#waiting.splice(0, groupMaxClaims)
    let pause = 0
    try {
      const outcomes = claimTogether(
        this.#store,
        group.map(({ claim }) => claim),
      )
      outcomes.forEach((outcome, index) => {
        if ('error' in outcome) group[index]?.settle.reject(outcome.error)
        else group[index]?.settle.resolve(outcome)
      })
    } catch (error) {
      // Another process has the lock: whoever has time left tries again.
      const patient = isBusy(error) ? group.filter(({ deadlineMs }) => monotonicMs() < deadlineMs) : []
      for (const one of group) if (!patient.includes(one)) one.settle.reject(error)
      this.#waiting.unshift(...patient)
      pause = pauseMs
    }
    this.#scheduled = this.#waiting.length > 0
    if (!this.#scheduled) return
    if (pause === 0) setImmediate(() => this.#flush())
    else setTimeout(() => this.#flush(), pause)
  }
}
