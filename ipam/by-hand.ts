/** What an administrator asks of single leases: whose is this, is it in use, release it. */
import { type Ip, parseIp, sameIp } from '../shared/address.ts'
import { describeKey } from '../shared/attachment.ts'
import { CniError } from '../shared/cni/errors.ts'
import type { AttachmentKey } from '../shared/cni/request.ts'
import { attachmentName, keptName } from './ledger/names.ts'
import { type AttachmentRecord, leaseIp, leaseSpace, offenderOf, recordKey } from './ledger/record.ts'
import type { Kept, Store } from './ledger/store.ts'
import { defaultSpace } from './plan.ts'
import { inUse, isAlive, type Node } from './sweep.ts'

/** What an administrator points at. */
export type Target =
  | { readonly address: Ip; readonly space: string | undefined }
  | { readonly key: AttachmentKey }
  | { readonly pod: { readonly namespace: string; readonly name: string } }

/**
 * `10.0.0.5`, `10.0.0.5/24` as tables show it, either with `@space`; `network/container/interface`; `namespace/name` of a
 * pod. Undefined when the text is none of these.
 */
export function parseTarget(text: string): Target | undefined {
  const [, before = '', after] = /^([^@]*)(?:@(.+))?$/.exec(text) ?? []
  const address = parseIp(before.replace(/\/[0-9]+$/, ''))
  if (address !== undefined) return { address, space: after }
  const [first = '', second = '', third, ...more] = text.split('/')
  if (first === '' || second === '' || third === '' || more.length > 0) return undefined
  if (third === undefined) return { pod: { namespace: first, name: second } }
  // A comma or a dot could only name a file that is no attachment's.
  if (![first, second].every((part) => /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(part))) return undefined
  return { key: { network: first, containerId: second, ifName: third } }
}

/** What is recorded: held by an attachment, or kept after its release. */
export interface Entry {
  readonly record: AttachmentRecord
  readonly kept?: Kept
}

function matches(record: AttachmentRecord, target: Target): boolean {
  if ('key' in target) return attachmentName(recordKey(record)) === attachmentName(target.key)
  if ('pod' in target) return record.pod?.namespace === target.pod.namespace && record.pod?.name === target.pod.name
  const { address, space } = target
  return record.leases.some(
    (lease) => sameIp(leaseIp(lease), address) && (space === undefined || leaseSpace(lease) === space),
  )
}

/**
 * All that a target may mean. An attachment is found by its name; everything else by a look at all records, because an
 * address without a space may be held in several. Throws ERR_DAMAGED.
 */
export function findEntries(store: Store, target: Target): Entry[] {
  const found = 'key' in target ? store.find(target.key) : undefined
  if (found !== undefined) return [{ record: found }]
  const { records, kept } = store.list()
  return [
    ...records.filter((record) => matches(record, target)).map((record) => ({ record })),
    ...kept.filter(({ record }) => matches(record, target)).map((one) => ({ record: one.record, kept: one })),
  ]
}

/** The name of the entry's file in the directory of leases. */
export function fileNameOf({ record, kept }: Entry): string {
  const { namespace, name } = record.pod ?? {}
  if (kept === undefined || namespace === undefined || name === undefined) return attachmentName(recordKey(record))
  return keptName(recordKey(record), { namespace, name })
}

/** Why an address that no readable record claims is not free; undefined when it is. */
export function whyHeld(store: Store, target: Target): string | undefined {
  if (!('address' in target)) return undefined
  const space = target.space ?? defaultSpace
  if (!store.isHeld(space, target.address)) return undefined
  const holder = store.holder(space, target.address)
  if (holder === undefined) return 'its record is damaged'
  return `the record of ${describeKey(recordKey(holder))} has lost its own name`
}

type NamespaceState = 'alive' | 'gone' | 'unknown'

export interface Judged {
  readonly state: NamespaceState
  readonly why: string
}

/** Whether the namespace that a record was made for is still there. */
export function judgeNamespace(record: AttachmentRecord, node: Node, shared: boolean): Judged {
  const { imported, netns, bootId, host } = record
  if (imported !== undefined) return { state: 'unknown', why: `imported from ${imported}, which does not record it` }
  if (shared && host !== node.host) return { state: 'unknown', why: `it is one of the node "${host}"` }
  if (bootId !== node.bootId) return { state: 'gone', why: 'the node was started again since' }
  if (netns === undefined) return { state: 'unknown', why: 'none was recorded' }
  if (isAlive(record, node, shared)) return { state: 'alive', why: `it is at "${netns.path}"` }
  if (inUse()(record)) return { state: 'alive', why: `it is gone from "${netns.path}", but something still uses it` }
  return { state: 'gone', why: `it is gone from "${netns.path}"` }
}

/** `"10.0.0.5/24", "fd00::5/64"`, or that there is none. */
const describeLeases = ({ leases }: AttachmentRecord): string =>
  leases.map(({ address }) => `"${address}"`).join(', ') || 'no address'

function refuseRelease(record: AttachmentRecord, why: string): never {
  const { namespace, name } = record.pod ?? {}
  const pod = name === undefined ? '' : ` of pod "${namespace ?? ''}/${name}"`
  const what = `${describeLeases(record)} of ${describeKey(recordKey(record))}${pod}`
  throw new CniError('ERR_CONFLICT', `Cannot release ${what}: ${why}`, {
    details: 'end the pod, or use --force: then another pod may get the address while this one still uses it',
  })
}

/** Releases one entry for good, kept for nobody. Throws ERR_CONFLICT while its namespace is alive, unless forced. */
export function releaseEntry(store: Store, entry: Entry, node: Node, nowMs: number, force: boolean): boolean {
  const { record, kept } = entry
  const key = recordKey(record)
  if (kept !== undefined) {
    return store.locked(() => {
      if (store.findKept(record) === undefined) return false
      store.dropKept(record, nowMs)
      return true
    })
  }
  // A call of the same attachment that is running ends first.
  using _held = store.hold(key)
  return store.locked(() => {
    const now = store.find(key)
    if (now === undefined) return false
    const judged = judgeNamespace(now, node, store.shared)
    if (!force && judged.state === 'alive') refuseRelease(now, `its network namespace is alive, ${judged.why}`)
    const foreign = store.shared && now.host !== node.host
    if (!force && foreign) refuseRelease(now, `nobody can tell from here whether it is in use, ${judged.why}`)
    return store.forget(key, nowMs)
  })
}

/** Releases an attachment whose record cannot be read; what it holds is what has a name of its file. */
export function releaseDamaged(store: Store, key: AttachmentKey, nowMs: number): boolean {
  using _held = store.hold(key)
  return store.locked(() => store.forget(key, nowMs))
}

/** Until when an entry is kept, and for whom. */
export function keptUntil({ record, sinceMs }: Kept): { readonly untilMs: number; readonly inUseBy?: string } {
  const inUseBy = offenderOf(record)
  return { untilMs: sinceMs + (record.keepMs ?? 0), ...(inUseBy === undefined ? {} : { inUseBy }) }
}
