/**
 * Claims of a resident process: those that arrive while others are being written wait, and are then written together. One sync
 * of the disk for all of them is what makes thousands a second durable.
 */

import { describeKey } from '../shared/attachment.ts'
import { monotonicMs } from '../shared/clock.ts'
import { CniError } from '../shared/cni/errors.ts'
import { type Claim, type Claimed, claimTogether } from './claim.ts'
import type { Store } from './ledger/store.ts'
import { lockWaitMaxMs } from './lock/index.ts'

/** More would make the first ones of a batch wait for the last ones' decisions. */
const batchMaxClaims = 8
/** More than this many waiting claims are a node in trouble: the runtime shall try again later. */
const waitingMaxClaims = 4096
/** Other processes have the lock for a millisecond or two. */
const pauseMs = 2
const nothingToWrite = Promise.resolve()

/** A claim with its leases, of which nobody may hear before they are on disk. */
interface DurableClaim extends Claimed {
  /** Rejects when they cannot be written. */
  readonly durable: Promise<void>
}

interface Waiting {
  readonly claim: Claim
  readonly deadlineMs: number
  readonly resolve: (claimed: DurableClaim) => void
  readonly reject: (error: unknown) => void
}

export class GroupCommit {
  readonly #store: Store
  readonly #waiting: Waiting[] = []
  readonly #onWritten: (claims: number) => void
  #scheduled = false

  /** `onWritten` hears of each batch how many claims were in it. */
  constructor(store: Store, onWritten: (claims: number) => void = () => undefined) {
    this.#store = store
    this.#onWritten = onWritten
  }

  /** Errors: those of claimAddresses; ERR_TRY_AGAIN as well when too many wait. */
  claim(claim: Claim): Promise<DurableClaim> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length >= waitingMaxClaims) {
        const who = describeKey(claim.key)
        reject(new CniError('ERR_TRY_AGAIN', `Cannot claim for ${who}: ${waitingMaxClaims} claims are waiting already`))
        return
      }
      this.#waiting.push({ claim, deadlineMs: monotonicMs() + lockWaitMaxMs, resolve, reject })
      this.#schedule(0)
    })
  }

  #schedule(pause: number): void {
    if (this.#scheduled || this.#waiting.length === 0) return
    this.#scheduled = true
    const next = (): void => {
      this.#scheduled = false
      this.#schedule(this.#write(this.#waiting.splice(0, batchMaxClaims)))
    }
    // After what has arrived by now was read: those calls are in the same batch.
    if (pause === 0) setImmediate(next)
    else setTimeout(next, pause)
  }

  /**
   * A single link is made beside the disk's work, and with who waits already the next sync is shared. Otherwise the disk takes less time
   * than it takes to wake a thread, with fewer outliers.
   */
  #flush(batch: readonly Waiting[]): Promise<void> {
    const hasMoreToDo = this.#waiting.length > 0 || (batch.length === 1 && batch[0]?.claim.link !== undefined)
    return this.#store.flush(hasMoreToDo ? 'in a thread' : 'here')
  }

  /** Returns how long to wait before the next batch, in milliseconds. */
  #write(batch: readonly Waiting[]): number {
    try {
      const outcomes = claimTogether(
        this.#store,
        batch.map(({ claim }) => claim),
      )
      const durable = outcomes.every((outcome) => 'error' in outcome) ? nothingToWrite : this.#flush(batch)
      // Whoever is left when it fails has been told already.
      durable.catch(() => undefined)
      this.#onWritten(batch.length)
      batch.forEach(({ resolve, reject }, index) => {
        const outcome = outcomes[index]
        if (outcome === undefined || 'error' in outcome) reject(outcome?.error)
        else resolve({ ...outcome, durable })
      })
      return 0
    } catch (error) {
      // Another process has the lock: who has time left waits on, without stopping this one.
      const isBusy = error instanceof CniError && error.errorName === 'ERR_TRY_AGAIN'
      const patient = batch.filter(({ deadlineMs }) => isBusy && monotonicMs() < deadlineMs)
      for (const one of batch) if (!patient.includes(one)) one.reject(error)
      this.#waiting.unshift(...patient)
      return pauseMs
    }
  }
}
