/**
 * Claims of a resident process: those that arrive while others are being written wait, and are then written together. One sync
 * of the disk for all of them is what makes thousands a second durable.
 */
import { CniError } from '../shared/cni/errors.ts'
import { type Claim, type Claimed, claimTogether } from './claim.ts'
import { describeKey } from './ledger/record.ts'
import type { Store } from './ledger/store.ts'

/** More would make the first ones of a batch wait for the last ones' decisions. */
const batchMaxClaims = 8
/** More than this many waiting claims are a node in trouble: the runtime shall try again later. */
const waitingMaxClaims = 4096

interface Waiting {
  readonly claim: Claim
  readonly resolve: (claimed: Claimed) => void
  readonly reject: (error: unknown) => void
}

export class GroupCommit {
  readonly #store: Store
  readonly #waiting: Waiting[] = []
  #scheduled = false

  constructor(store: Store) {
    this.#store = store
  }

  /** Errors: those of claimAddresses; ERR_TRY_AGAIN as well when too many wait. */
  claim(claim: Claim): Promise<Claimed> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length >= waitingMaxClaims) {
        const who = describeKey(claim.key)
        reject(new CniError('ERR_TRY_AGAIN', `Cannot claim for ${who}: ${waitingMaxClaims} claims are waiting already`))
        return
      }
      this.#waiting.push({ claim, resolve, reject })
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0) return
    this.#scheduled = true
    // After what has arrived by now was read: those calls are in the same batch.
    setImmediate(() => {
      this.#scheduled = false
      this.#write(this.#waiting.splice(0, batchMaxClaims))
      this.#schedule()
    })
  }

  #write(batch: readonly Waiting[]): void {
    try {
      const outcomes = claimTogether(
        this.#store,
        batch.map(({ claim }) => claim),
      )
      batch.forEach(({ resolve, reject }, index) => {
        const outcome = outcomes[index]
        if (outcome === undefined || 'error' in outcome) reject(outcome?.error)
        else resolve(outcome)
      })
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }
}
