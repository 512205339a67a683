/**
 * The administrator's door to the IPAM. A door of its own: what only people need must not be in the text that every CNI
 * call loads.
 */
import type { AttachmentKey } from '../shared/cni/request.ts'
import { thisNode } from './asked.ts'
import { type Entry, type Judged, judgeNamespace, releaseDamaged, releaseEntry } from './by-hand.ts'
import { readHostLocal } from './import/host-local.ts'
import { type Found, type TakenOver, type TakeOverWish, takeOver } from './import/take-over.ts'
import { type Pool, readAllocations } from './import/whereabouts.ts'
import type { AttachmentRecord } from './ledger/record.ts'
import type { Store } from './ledger/store.ts'
import { inUse, type Swept, sweep } from './sweep.ts'

export {
  type Entry,
  fileNameOf,
  findEntries,
  type Judged,
  keptUntil,
  parseTarget,
  type Target,
  whyHeld,
} from './by-hand.ts'
export { hostLocalSpace } from './dialects/host-local.ts'
export { checkSpace, type Skipped, type TakenOver } from './import/take-over.ts'
export { type Pool, readPools } from './import/whereabouts.ts'
export { leaseIp, leaseSpace } from './ledger/record.ts'
export { defaultSpace } from './plan.ts'
export type { Swept } from './sweep.ts'

/** Whether the namespace of a record is still there, as far as can be seen from this node. */
export const judge = (store: Store, record: AttachmentRecord): Judged =>
  judgeNamespace(record, thisNode(), store.shared)

/** Releases an entry for good; false when it is gone already. Throws ERR_CONFLICT while its namespace is alive, unless forced. */
export const release = (store: Store, entry: Entry, force: boolean): boolean =>
  releaseEntry(store, entry, thisNode(), Date.now(), force)

/** Releases what an unreadable record holds; false when there is none. */
export const releaseUnreadable = (store: Store, key: AttachmentKey): boolean => releaseDamaged(store, key, Date.now())

/** Releases what nobody holds any more, or only says so; what is gone for the first time waits `graceMs` for a second look. */
export const sweepLeases = (store: Store, graceMs: number, dryRun: boolean): Swept =>
  sweep(store, { node: thisNode(), nowMs: Date.now(), graceMs, inUse: inUse(), dryRun })

type ImportWish = Pick<TakeOverWish, 'space' | 'subnets' | 'dryRun' | 'onProgress'> & { readonly network: string }

export interface Imported extends TakenOver {
  /** Where the interface was not written down, and the usual one is assumed. */
  readonly assumed: readonly string[]
}

interface Source {
  readonly found: readonly Found[]
  readonly skipped: TakenOver['skipped']
  readonly assumed: readonly string[]
}

function takeOverAll(store: Store, from: TakeOverWish['from'], source: Source, wish: ImportWish): Imported {
  const taken = takeOver(store, source.found, { ...wish, from, node: thisNode(), now: new Date() })
  return { ...taken, skipped: [...source.skipped, ...taken.skipped], assumed: source.assumed }
}

/** Takes over what host-local keeps in a network's folder. Errors: those of the store and of reading the folder. */
export const importHostLocal = (store: Store, directory: string, wish: ImportWish): Imported =>
  takeOverAll(store, 'host-local', readHostLocal(directory, wish.network), wish)

/** Takes over what the pools of whereabouts have given out. */
export const importWhereabouts = (store: Store, pools: readonly Pool[], wish: ImportWish): Imported =>
  takeOverAll(store, 'whereabouts', readAllocations(pools, wish.network), wish)
