/**
 * Finding what nobody holds any more: attachments of an earlier boot, attachments whose namespace is gone, and addresses kept
 * too long. In doubt something is held: a leaked address costs an address, one that is given twice costs two pods.
 */

import { describeKey } from '../shared/attachment.ts'
import { CniError } from '../shared/cni/errors.ts'
import type { AttachmentKey } from '../shared/cni/request.ts'
import { type Living, livingNamespaces, stillUsed } from '../shared/host/living.ts'
import { netnsAlive } from '../shared/host/netns.ts'
import { log } from '../shared/log.ts'
import { messageOf } from '../shared/message.ts'
import { type AttachmentRecord, leaseIp, offenderOf, recordKey } from './ledger/record.ts'
import { isAhead, isExpired, type Kept, type Store } from './ledger/store.ts'
import { checkHeld } from './lock/held.ts'

/** Where this program runs, and since when. */
export interface Node {
  readonly host: string
  readonly bootId: string
}

/** Whether a record is one of this node's: in a store that nodes share, another's namespaces cannot be seen from here. */
const isOurs = (record: AttachmentRecord, { host }: Node, shared: boolean): boolean => !shared || record.host === host

/** Whether the namespace that a record was made for may still be in use, as far as its path tells. */
export function isAlive(record: AttachmentRecord, node: Node, shared: boolean): boolean {
  if (!isOurs(record, node, shared)) return true
  const { bootId, netns } = record
  return bootId === node.bootId && netns !== undefined && netnsAlive(netns.path, netns)
}

/** Whether the namespace of a record, gone from its path, is in use all the same; looks through the processes once. */
export function inUse(): (record: AttachmentRecord) => boolean {
  let living: Living | undefined
  return (record) => {
    const { netns, link, leases } = record
    // Without one nothing can be told, unless it is none of a pod: then a call was killed while it put an address out of use.
    if (netns === undefined) return offenderOf(record) === undefined
    // A look into a namespace takes a while, and there may be many.
    checkHeld()
    living ??= livingNamespaces()
    return stillUsed(living, netns, link?.index, leases.map(leaseIp))
  }
}

/** Whether a sweep may judge a record: of another node's namespaces, and of imported attachments', nothing is known here. */
const isKnown = (record: AttachmentRecord, node: Node, shared: boolean): boolean =>
  record.imported === undefined && isOurs(record, node, shared)

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

/**
 * At the first claim after a boot: no namespace of an earlier one is left, so its attachments are released at once. The lock is
 * held by the caller.
 */
export function sweepEarlierBoots(store: Store, node: Node, nowMs: number): AttachmentKey[] {
  const lastBoot = store.lastBoot(node.host)
  if (lastBoot === node.bootId) return []
  store.recover()
  const { shared } = store
  const old = store.list().records.filter((record) => isKnown(record, node, shared) && record.bootId !== node.bootId)
  const keys = old.map(recordKey)
  for (const key of keys) {
    try {
      store.remove(key, nowMs)
    } catch (error) {
      if (error instanceof CniError && error.errorName === 'ERR_TRY_AGAIN') throw error
      // One that cannot be removed must not keep everybody from attaching.
      log('warn', `cannot release ${describeKey(key)}: ${messageOf(error)}`)
    }
  }
  store.setLastBoot(node.host, node.bootId)
  return keys
}

export interface SweepWish {
  readonly node: Node
  readonly nowMs: number
  /** A namespace must have been gone for this long, seen by an earlier sweep. */
  readonly graceMs: number
  /** Whether the namespace of an attachment, gone from its path, is in use all the same. */
  readonly inUse: (record: AttachmentRecord) => boolean
  /** Only says what it would do. */
  readonly dryRun?: boolean
}

export interface Swept {
  /** Of an earlier boot, or gone at two looks. */
  readonly released: readonly AttachmentRecord[]
  /** Gone at this look; the next sweep after the grace period releases them. */
  readonly waiting: readonly AttachmentRecord[]
  /** Kept for a pod that did not come back in time. */
  readonly expired: readonly Kept[]
  /** Names that a killed call left and that held nothing. */
  readonly leftOver: readonly string[]
  readonly damaged: readonly string[]
}

/** What one look at all records finds; `looks` are the first ones to be remembered. */
interface Found extends Omit<Swept, 'leftOver'> {
  /** Kept since a time to come: the clock was set back since. */
  readonly ahead: readonly Kept[]
  readonly looks: ReadonlyMap<string, number>
}

function look(store: Store, { node, nowMs, graceMs, inUse }: SweepWish): Found {
  const { shared } = store
  const { records, kept, damaged } = store.list()
  const gone = records.filter((record) => isKnown(record, node, shared) && !isAlive(record, node, shared))
  const [earlier, suspects] = [
    gone.filter((r) => r.bootId !== node.bootId),
    gone.filter((r) => r.bootId === node.bootId),
  ]
  const unused = suspects.filter((record) => !inUse(record))
  const firstLooks = store.firstLooks(node.host)
  const seenMs = (record: AttachmentRecord): number => firstLooks.get(lookName(record)) ?? nowMs
  // A first look in time to come is a clock set back since: it starts anew.
  const isDue = (record: AttachmentRecord): boolean => {
    const since = seenMs(record)
    return firstLooks.has(lookName(record)) && since <= nowMs && since + graceMs <= nowMs
  }
  const waiting = unused.filter((record) => !isDue(record))
  return {
    released: [...earlier, ...unused.filter(isDue)],
    waiting,
    expired: kept.filter((one) => isExpired(one, nowMs)),
    ahead: kept.filter((one) => isAhead(one, nowMs)),
    damaged,
    looks: new Map(waiting.map((record) => [lookName(record), Math.min(seenMs(record), nowMs)])),
  }
}

/** What is done in one stay in the lock: calls that wait for it shall not notice. */
const stayMaxAttempts = 16

/**
 * Runs all of them, a few in each stay; those that answer true are returned. Throws the first error when all have had their turn, or
 * ERR_TRY_AGAIN at once: nobody waits for the lock again and again.
 */
function inShortStays<T>(store: Store, all: readonly T[], attempt: (one: T) => boolean): T[] {
  const done: T[] = []
  const failures: unknown[] = []
  for (let first = 0; first < all.length; first += stayMaxAttempts) {
    const some = all.slice(first, first + stayMaxAttempts)
    try {
      store.locked(() => runAll(some.map((one) => () => attempt(one) && done.push(one))))
    } catch (error) {
      if (error instanceof CniError && error.errorName === 'ERR_TRY_AGAIN') throw error
      failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
  return done
}

/** Releases a record that a look without the lock found gone, unless it has another life by now, or its namespace is there again. */
function releaseAgain(store: Store, record: AttachmentRecord, { node, nowMs, inUse }: SweepWish): boolean {
  const now = store.find(recordKey(record))
  if (now === undefined || lookName(now) !== lookName(record) || isAlive(now, node, store.shared)) return false
  if (now.bootId === node.bootId && inUse(now)) return false
  return store.remove(recordKey(now), nowMs)
}

/**
 * Looks once, and releases what an earlier look found gone as well. Reading thousands of records takes seconds, in which no call
 * shall wait: that is done without the lock, and what it finds is looked at again within. Errors: those of the store.
 */
export function sweep(store: Store, wish: SweepWish): Swept {
  if (!store.exists()) return { released: [], waiting: [], expired: [], leftOver: [], damaged: [] }
  const { node, nowMs } = wish
  if (wish.dryRun === true) {
    return store.locked(() => {
      const { released, waiting, expired, damaged } = look(store, wish)
      const leftOver = store.inspect().filter(({ kind }) => kind === 'left over')
      return { released, waiting, expired, leftOver: leftOver.map(({ name }) => name), damaged }
    })
  }
  let found: Found
  try {
    found = look(store, wish)
  } catch (error) {
    throw store.explain(error)
  }
  const { waiting, damaged, looks } = found
  const stillKept = ({ record }: Kept, is: (one: Kept, nowMs: number) => boolean): boolean => {
    const now = store.findKept(record)
    return now !== undefined && is(now, nowMs)
  }
  let [expired, released]: [Kept[], AttachmentRecord[]] = [[], []]
  runAll([
    // First: what a release keeps may take the place of what was kept for too long.
    () => {
      expired = inShortStays(store, found.expired, (one) => {
        if (!stillKept(one, isExpired)) return false
        store.dropKept(one.record, nowMs)
        return true
      })
    },
    () => {
      inShortStays(store, found.ahead, (one) => {
        if (stillKept(one, isAhead)) store.restartKept(one.record, nowMs)
        return true
      })
    },
    () => {
      released = inShortStays(store, found.released, (record) => releaseAgain(store, record, wish))
    },
  ])
  store.locked(() => store.setFirstLooks(node.host, looks))
  const leftOver = store.hasLeftOvers() ? store.locked(() => store.removeLeftOvers(nowMs)) : []
  return { released, waiting, expired, leftOver, damaged }
}

/** One life of an attachment: the same key claimed again is another one. */
const lookName = ({ network, containerId, ifName, claimedAt }: AttachmentRecord): string =>
  [network, containerId, ifName, claimedAt].join(' ')

/** What a GC did, and the names of the records that it could not read and so did not touch. */
interface Collected {
  readonly released: readonly AttachmentKey[]
  readonly kept: readonly AttachmentKey[]
  readonly damaged: readonly string[]
}

/**
 * Releases the attachments of a network that the runtime no longer knows, except those whose namespace is alive: some
 * runtimes pass an empty list for networks that are not the default one. Of imported ones only `isValid` can tell.
 */
export function collectGarbage(
  store: Store,
  network: string,
  isValid: (record: AttachmentRecord) => boolean,
  { node, nowMs, inUse }: Omit<SweepWish, 'graceMs'>,
): Collected {
  const released: AttachmentKey[] = []
  const kept: AttachmentKey[] = []
  if (!store.exists()) return { released, kept, damaged: [] }
  return store.locked(() => {
    const { shared } = store
    const { records, damaged } = store.list()
    const attempts: (() => unknown)[] = []
    for (const record of records) {
      const key = recordKey(record)
      if (record.network !== network || isValid(record) || !isOurs(record, node, shared)) continue
      // Where no namespace was recorded the list alone can tell.
      const used = record.netns !== undefined && record.bootId === node.bootId && inUse(record)
      if (isAlive(record, node, shared) || used) kept.push(key)
      else attempts.push(() => store.remove(key, nowMs) && released.push(key))
    }
    runAll(attempts)
    return { released, kept, damaged }
  })
}
