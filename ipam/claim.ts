/**
 * Claiming and releasing: lock -> read -> decide -> write -> unlock. The same attachment gets the same answer again.
 */
import { formatCidr, formatIp, type Ip, sameIp } from '../shared/address.ts'
import { CniError } from '../shared/cni/errors.ts'
import type { AttachmentKey } from '../shared/cni/request.ts'
import { netnsAlive, sameNetns } from '../shared/host/netns.ts'
import { decide, type Grant, grantAgain, type Held, type RequestedAddress } from './decide.ts'
import type { Plan } from './plan.ts'
import { type AttachmentRecord, describeKey, type Lease, leaseIp, recordFormat, recordKey } from './record.ts'
import type { Store } from './store.ts'

/** What is claimed, and what the record shall say about who claims it. */
export interface Claim {
  readonly key: AttachmentKey
  readonly plan: Plan
  readonly requested: readonly RequestedAddress[]
  readonly link?: AttachmentRecord['link']
  readonly netns?: AttachmentRecord['netns']
  readonly pod?: AttachmentRecord['pod']
  readonly bootId: string
  readonly now: Date
}

/** An answered claim; `fresh` when this call made it, so that a failing caller may release it again. */
export interface Claimed {
  readonly record: AttachmentRecord
  readonly fresh: boolean
}

/** Addresses lost to a caller who ignores the lock before we give up; each round finds the next free one. */
const lostRacesMax = 16

const toLease = ({ address, gateway, range }: Grant): Lease => ({
  address: formatCidr(address),
  ...(gateway === undefined ? {} : { gateway: formatIp(gateway) }),
  range,
})

function newRecord(claim: Claim, leases: Lease[]): AttachmentRecord {
  return {
    format: recordFormat,
    ...claim.key,
    space: claim.plan.space,
    leases,
    ...(claim.link === undefined ? {} : { link: claim.link }),
    ...(claim.netns === undefined ? {} : { netns: claim.netns }),
    ...(claim.pod === undefined ? {} : { pod: claim.pod }),
    bootId: claim.bootId,
    claimedAt: claim.now.toISOString(),
  }
}

/** Whether the namespace that a record was made for may still be in use. */
function isAlive({ bootId, netns }: AttachmentRecord, currentBootId: string): boolean {
  return bootId === currentBootId && netns !== undefined && netnsAlive(netns.path, netns)
}

const inSameNetns = (record: AttachmentRecord, claim: Claim): boolean =>
  record.bootId === claim.bootId &&
  (record.netns === undefined || claim.netns === undefined || sameNetns(record.netns, claim.netns))

/** What an earlier call of the same attachment left for this one. */
type Earlier =
  | { readonly answer: AttachmentRecord }
  /** Grants to take up again after a crash or a reboot: the same addresses for a new link and namespace. */
  | { readonly grants: readonly Grant[] | undefined }

/** Throws ERR_CONFLICT when the attachment is in use and asks for something else now. */
function takeUp(store: Store, claim: Claim): Earlier {
  const earlier = store.find(claim.key)
  if (earlier === undefined) return { grants: undefined }
  if (!store.complete(earlier)) {
    // Somebody else got one of its addresses, so the call that wrote it never answered.
    store.remove(claim.key)
    return { grants: undefined }
  }
  const sameSpace = earlier.space === claim.plan.space
  const grants = sameSpace ? grantAgain(claim.plan, claim.requested, earlier.leases.map(leaseIp)) : undefined
  const sameLink = (earlier.link === undefined) === (claim.link === undefined)
  if (grants !== undefined && sameLink && inSameNetns(earlier, claim)) return { answer: earlier }
  const here = earlier.netns !== undefined && inSameNetns(earlier, claim)
  if (here || isAlive(earlier, claim.bootId)) {
    const held = earlier.leases.map(({ address }) => address).join(', ') || 'no address'
    const details = `it holds ${held} in "${earlier.netns?.path}"; a DEL releases it`
    const why = here ? 'it is attached already, and asks for something else now' : 'it is attached in another namespace'
    throw new CniError('ERR_CONFLICT', `Cannot claim for ${describeKey(claim.key)}: ${why}`, { details })
  }
  store.remove(claim.key)
  return { grants }
}

/** Puts a record with new leases. Throws ERR_TRY_AGAIN when others snatch every address that looked free. */
function putDecided(store: Store, claim: Claim): AttachmentRecord {
  const lost: Ip[] = []
  while (lost.length <= lostRacesMax) {
    const grants = decide(claim.plan, claim.requested, heldBy(store, claim.plan.space, lost))
    const record = newRecord(claim, grants.map(toLease))
    const taken = store.put(record)
    if (taken === undefined) return record
    lost.push(taken)
  }
  throw new CniError(
    'ERR_TRY_AGAIN',
    `Cannot claim for ${describeKey(claim.key)}: others were faster ${lost.length} times`,
  )
}

/**
 * Claims what the plan gives to the attachment. Throws ERR_EXHAUSTED, ERR_TAKEN, ERR_CONFIG (see decide), ERR_CONFLICT,
 * ERR_DAMAGED, ERR_TRY_AGAIN and ERR_IO; then nothing is held that was not held before.
 */
export function claimAddresses(store: Store, claim: Claim): Claimed {
  return store.locked(() => {
    const earlier = takeUp(store, claim)
    if ('answer' in earlier) return { record: earlier.answer, fresh: false }
    if (earlier.grants !== undefined) {
      const record = newRecord(claim, earlier.grants.map(toLease))
      if (store.put(record) === undefined) return { record, fresh: true }
    }
    return { record: putDecided(store, claim), fresh: true }
  })
}

function heldBy(store: Store, space: string, lost: readonly Ip[]): Held {
  return {
    has: (ip) => lost.some((other) => sameIp(other, ip)) || store.isHeld(space, ip),
    holder: (ip) => {
      const record = store.holder(space, ip)
      return record === undefined ? 'somebody else' : describeKey(recordKey(record))
    },
  }
}

/** Releases all that the attachment holds; false when that is nothing. */
export function releaseAddresses(store: Store, key: AttachmentKey): boolean {
  return store.exists() && store.locked(() => store.remove(key))
}

/** Runs all of them, then throws the first error: what fails must not keep the others from being cleaned up. */
function runAll(attempts: readonly (() => unknown)[]): void {
  const failures: unknown[] = []
  for (const attempt of attempts) {
    try {
      attempt()
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
}

/** What a GC did, and the names of the records that it could not read and so did not touch. */
export interface Collected {
  readonly released: readonly AttachmentKey[]
  readonly kept: readonly AttachmentKey[]
  readonly damaged: readonly string[]
}

/**
 * Releases the attachments of a network that the runtime no longer knows, except those whose namespace is alive: some
 * runtimes pass an empty list for networks that are not the default one.
 */
export function collectGarbage(
  store: Store,
  network: string,
  isValid: (key: AttachmentKey) => boolean,
  bootId: string,
): Collected {
  const released: AttachmentKey[] = []
  const kept: AttachmentKey[] = []
  if (!store.exists()) return { released, kept, damaged: [] }
  return store.locked(() => {
    const { records, damaged } = store.list()
    const attempts: (() => unknown)[] = []
    for (const record of records) {
      const key = recordKey(record)
      if (record.network !== network || isValid(key)) continue
      if (isAlive(record, bootId)) kept.push(key)
      else attempts.push(() => store.remove(key) && released.push(key))
    }
    runAll(attempts)
    return { released, kept, damaged }
  })
}
