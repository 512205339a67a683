/**
 * Claiming and releasing: lock -> read -> decide -> write -> unlock. The same attachment gets the same answer again.
 *
 * Claims that arrive together are decided one after the other and written together: one sync for all (claimTogether).
 */

import { type Ip, sameIp, spanContains } from '../shared/address.ts'
import { describeKey, sameKey } from '../shared/attachment.ts'
import type { Instant } from '../shared/clock.ts'
import { CniError } from '../shared/cni/errors.ts'
import type { AttachmentKey } from '../shared/cni/request.ts'
import { sameNetns } from '../shared/host/netns.ts'
import { type Grant, grantAgain } from './decide.ts'
import { type AttachmentRecord, type Lease, leaseIp, leaseSpace, recordKey } from './ledger/record.ts'
import type { Store } from './ledger/store.ts'
import type { Plan } from './plan.ts'
import { type Claim, newRecord, Round } from './round.ts'
import { isAlive, type Node, sweepEarlierBoots } from './sweep.ts'

export type { Claim }

/** An answered claim; `fresh` when this call made it, so that a failing caller may release it again. */
export interface Claimed {
  readonly record: AttachmentRecord
  readonly fresh: boolean
  /** When the record is on disk, where it is not yet: nobody may hear of it before. */
  readonly durable?: Promise<void>
}

/** Addresses lost to a caller who ignores the lock before we give up; each round finds the next free one. */
export const lostRacesMax = 16

const inSameNetns = (record: AttachmentRecord, claim: Claim): boolean =>
  record.bootId === claim.node.bootId &&
  (record.netns === undefined || claim.netns === undefined || sameNetns(record.netns, claim.netns))

/** The grants that leases of an earlier call are, as the plan gives them now; undefined when it would not. */
function grantsAgain(claim: Claim, leases: readonly Lease[]): Grant[] | undefined {
  const grants = grantAgain(claim.plan, claim.requested, leases.map(leaseIp))
  const held = ({ space, address }: Grant): boolean =>
    leases.some((lease) => leaseSpace(lease) === space && sameIp(leaseIp(lease), address.ip))
  return grants?.every(held) ? grants : undefined
}

/** What an earlier call of the same attachment left for this one. */
type Earlier =
  | { readonly answer: AttachmentRecord }
  /** Grants to take up again after a crash or a reboot, or kept for this pod: the same addresses for a new link and namespace. */
  | { readonly grants: readonly Grant[] | undefined }

/** Throws ERR_CONFLICT when the attachment is in use and asks for something else now. */
function takeUp(store: Store, claim: Claim): Earlier {
  const nowMs = claim.now.getTime()
  const found = store.find(claim.key)
  if (found === undefined) return { grants: takeUpKept(store, claim) }
  const earlier = store.complete(found, nowMs)
  if (earlier === undefined) {
    // Somebody else got one of its addresses, so the call that wrote it never answered.
    store.forget(claim.key, nowMs)
    return { grants: undefined }
  }
  const grants = grantsAgain(claim, earlier.leases)
  const sameLink = (earlier.link === undefined) === (claim.link === undefined)
  if (grants !== undefined && sameLink && inSameNetns(earlier, claim)) return { answer: earlier }
  const here = earlier.netns !== undefined && inSameNetns(earlier, claim)
  // Of an imported one nobody knows where it is attached: its address must not become that of a link which then fails.
  const imported = earlier.imported !== undefined
  if (here || imported || isAlive(earlier, claim.node, store.shared)) {
    const held = earlier.leases.map(({ address }) => address).join(', ') || 'no address'
    const where = imported ? `, imported from ${earlier.imported}` : ` in "${earlier.netns?.path}"`
    const details = `it holds ${held}${where}; a DEL releases it`
    const why = here ? 'it is attached already, and asks for something else now' : 'it is attached in another namespace'
    throw new CniError('ERR_CONFLICT', `Cannot claim for ${describeKey(claim.key)}: ${why}`, { details })
  }
  store.remove(claim.key, nowMs)
  return { grants: takeUpKept(store, claim) ?? grants }
}

/** Whether an address is only for who asks for it, and is not asked for. */
const isReserved = ({ plan, requested }: Claim, { space, address: { ip } }: Grant): boolean =>
  !requested.some((wanted) => sameIp(wanted.ip, ip)) &&
  plan.rangeSets.flat().some((range) => range.space === space && range.reserved.some((span) => spanContains(span, ip)))

/** The grants kept for the claim's pod; what is kept too long, or does not answer the plan any more, is released. */
function takeUpKept(store: Store, claim: Claim): Grant[] | undefined {
  if (claim.plan.keepMs === undefined) return undefined
  const wanted = newRecord(claim, [])
  const kept = store.findKept(wanted)
  if (kept === undefined) return undefined
  const nowMs = claim.now.getTime()
  const expired = kept.sinceMs + (kept.record.keepMs ?? 0) < nowMs
  const again = expired ? undefined : grantsAgain(claim, kept.record.leases)
  const grants = again?.some((grant) => isReserved(claim, grant)) ? undefined : again
  if (grants === undefined) store.dropKept(wanted, nowMs)
  return grants
}

/** Puts a record with new leases until nobody else has any of them. Throws ERR_TRY_AGAIN when others snatch them all. */
function putAgain(store: Store, claim: Claim, round: Round, first: { record: AttachmentRecord; taken: Ip }): Claimed {
  let { record, taken }: { record: AttachmentRecord; taken: Ip | undefined } = first
  for (let lost = 1; lost <= lostRacesMax; lost++) {
    if (taken !== undefined) round.lose(record, taken)
    record = round.decide(claim)
    taken = store.put([record])[0]
    if (taken === undefined) return { record, fresh: true }
  }
  throw tooManyLost(claim)
}

export const tooManyLost = ({ key }: Claim): CniError =>
  new CniError('ERR_TRY_AGAIN', `Cannot claim for ${describeKey(key)}: others were faster ${lostRacesMax} times`)

type Outcome = Claimed | { readonly error: unknown }

function attempt(work: () => Claimed): Outcome {
  try {
    return work()
  } catch (error) {
    return { error }
  }
}

/**
 * Claims for several attachments at once. Each gets its own outcome: what fails for one is not the others' failure. Errors as
 * claimAddresses.
 */
export function claimTogether(store: Store, claims: readonly Claim[]): Outcome[] {
  const outcomes = store.locked(() => claimWithin(store, claims))
  return outcomes.map((outcome) => ('error' in outcome ? { error: store.explain(outcome.error) } : outcome))
}

function claimWithin(store: Store, claims: readonly Claim[]): Outcome[] {
  const [first] = claims
  if (first !== undefined) sweepEarlierBoots(store, first.node, first.now.getTime())
  const round = new Round(store)
  const written: { readonly index: number; readonly record: AttachmentRecord }[] = []
  const outcomes = claims.map((claim, index): Outcome => {
    return attempt(() => {
      if (written.some(({ record }) => sameKey(recordKey(record), claim.key))) {
        throw new CniError('ERR_TRY_AGAIN', `Cannot claim for ${describeKey(claim.key)}: another call of it is running`)
      }
      const earlier = takeUp(store, claim)
      if ('answer' in earlier) return { record: earlier.answer, fresh: false }
      const record = earlier.grants === undefined ? round.decide(claim) : round.takeUp(claim, earlier.grants)
      written.push({ index, record })
      return { record, fresh: true }
    })
  })
  let taken: (Ip | undefined)[] = []
  try {
    taken = store.put(written.map(({ record }) => record))
  } catch (error) {
    for (const { index } of written) outcomes[index] = { error }
  }
  written.forEach(({ index, record }, position) => {
    const [claim, lost] = [claims[index], taken[position]]
    if (lost === undefined || claim === undefined) return
    outcomes[index] = attempt(() => putAgain(store, claim, round, { record, taken: lost }))
  })
  // What a claim that failed alone has looked at, the next one shall look at again.
  if (outcomes.some((outcome) => !('error' in outcome))) round.save()
  return outcomes
}

/**
 * Claims what the plan gives to the attachment. Throws ERR_EXHAUSTED, ERR_TAKEN, ERR_CONFIG (see decide), ERR_CONFLICT,
 * ERR_DAMAGED, ERR_TRY_AGAIN and ERR_IO; then nothing is held that was not held before.
 */
export function claimAddresses(store: Store, claim: Claim): Claimed {
  return store.locked(() => {
    // Thrown inside of the lock, which says what could not be used.
    const [outcome] = claimWithin(store, [claim])
    if (outcome === undefined || 'error' in outcome) throw outcome?.error
    return outcome
  })
}

/** Throws ERR_EXHAUSTED when one of the plan's ranges has no free address. */
export function checkFree(store: Store, network: string, plan: Plan, node: Node, now: Instant): void {
  const key = { network, containerId: '', ifName: '' }
  const ranges = { ...plan, fixed: [] }
  store.locked(() => {
    sweepEarlierBoots(store, node, now.getTime())
    new Round(store).decide({ key, plan: ranges, requested: [], node, now })
  })
}

/** Releases all that the attachment holds; false when that is nothing. */
export function releaseAddresses(store: Store, key: AttachmentKey, now: Instant): boolean {
  return store.exists() && store.locked(() => store.remove(key, now.getTime()))
}
