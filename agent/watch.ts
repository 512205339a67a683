/** What the agent tells whoever watches it. It is told on the way of a call, so listening must cost next to nothing. */

import type { Claim } from '../ipam/index.ts'
import type { Reply } from '../plugins/dispatch.ts'
import type { CallFrame } from './frame.ts'

/** Which of the two sockets a call came in by: that of the run directory, or that of the data directory. */
export type Door = 'run' | 'data'

/** What one sweep did, in numbers. */
export interface SweepTotals {
  readonly released: number
  readonly waiting: number
  readonly expired: number
  readonly leftOver: number
  readonly damaged: number
}

export interface Watch {
  /** A call has its reply, `ms` after its last byte came; a call whose caller has gone before its turn is none. */
  answered(door: Door, call: CallFrame, reply: Reply, ms: number): void
  claimed(claim: Claim): void
  /** So many claims were written together. */
  committed(claims: number): void
  /** A sweep has ended; without totals it failed. */
  swept(totals: SweepTotals | undefined, ms: number): void
}

const nothing = (): void => undefined

/** For an agent that nobody watches. */
export const unwatched: Watch = { answered: nothing, claimed: nothing, committed: nothing, swept: nothing }

/** How the agent is, for who asks. */
export interface Facts {
  readonly state: 'warming up' | 'answering' | 'draining'
  /** Whether its sockets are where launchers look for them. */
  readonly reachable: boolean
  /** Calls in the line that wait for their turn. */
  readonly waiting: number
  readonly atWork: number
  /** Links that are gone for everybody but the kernel. */
  readonly removing: number
}
