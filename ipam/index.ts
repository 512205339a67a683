/** The IPAM's door: what the plugins, and whoever else keeps attachments, may use of it. */

import { describeKey, sameKey } from '../shared/attachment.ts'
import { wallClock } from '../shared/clock.ts'
import { CniError } from '../shared/cni/errors.ts'
import { keyValue, nearMisses } from '../shared/cni/keys.ts'
import type { Request } from '../shared/cni/request.ts'
import type { Result } from '../shared/cni/result.ts'
import type { Netns } from '../shared/host/netns.ts'
import { claimOf, thisNode } from './asked.ts'
import { checkFree } from './claim.ts'
import { dialectFor } from './dialects/index.ts'
import { FileStore } from './ledger/file-store.ts'
import { type AttachmentRecord, leaseIp, leaseSpace, recordKey } from './ledger/record.ts'
import type { Store, StoreOptions } from './ledger/store.ts'
import { emptyPlan, type Plan } from './plan.ts'
import { type Conflict, claimInstead } from './quarantine.ts'
import { collectGarbage, inUse } from './sweep.ts'

export { claimOf, planOf } from './asked.ts'
export { type Claim, type Claimed, claimAddresses, claimTogether, releaseAddresses } from './claim.ts'
export { GroupCommit } from './commit.ts'
export type { AttachmentRecord, Lease } from './ledger/record.ts'
export type { Finding, Kept, Listing, Store } from './ledger/store.ts'
export { lockWaitMaxMs } from './lock/index.ts'
export type { Plan } from './plan.ts'
export { countUsage, KnownPlans, type Usage } from './usage.ts'
export { emptyPlan }

/** The `ipam.type` that this IPAM answers to; under a Berth plugin it is called in the same process. */
export const ipamType = 'berth-ipam'

export const openStore = (dataDir: string, options?: StoreOptions): Store => new FileStore(dataDir, options)

/** Warnings about keys of the `ipam` object that are probably misspelt. */
export function ipamKeyWarnings({ raw }: Request): string[] {
  const ipam = keyValue(raw, 'ipam')
  return ipam === undefined ? [] : nearMisses(ipam, dialectFor(ipam).keys, 'ipam.')
}

/**
 * Claims other addresses for an attachment, in place of those that strangers were found to use: these are kept out of use.
 * Throws ERR_TAKEN when nothing else would do, and the errors of claimAddresses; then the attachment holds what is left of its own.
 */
export function claimOther(
  store: Store,
  request: Request,
  plan: Plan,
  netns: Netns | undefined,
  conflicts: readonly Conflict[],
  link?: AttachmentRecord['link'],
): AttachmentRecord {
  return claimInstead(store, claimOf(request, plan, netns, link), conflicts)
}

/** What the IPAM answers an ADD with: addresses, routes and dns, no interfaces (SPEC section 4). */
export function ipamResult(record: AttachmentRecord, plan: Plan): Result {
  return {
    interfaces: [],
    ips: record.leases.map(({ address, gateway }) => ({ address, ...(gateway === undefined ? {} : { gateway }) })),
    routes: plan.routes,
    dns: plan.dns,
  }
}

/**
 * The lease part of CHECK. Throws ERR_CHECK when the attachment is not recorded, does not hold an address any more that its
 * record names, or holds one that prevResult does not have.
 */
export function checkLeases(store: Store, request: Request, previous: Result): void {
  const record = store.find(request.key)
  if (record === undefined) {
    throw new CniError('ERR_CHECK', `Cannot find a lease of ${describeKey(request.key)}: nothing is recorded`)
  }
  for (const lease of record.leases) {
    const { address } = lease
    const holder = store.holder(leaseSpace(lease), leaseIp(lease))
    if (holder === undefined || !sameKey(recordKey(holder), request.key)) {
      const who = holder === undefined ? 'nobody' : describeKey(recordKey(holder))
      throw new CniError('ERR_CHECK', `Lease "${address}" of ${describeKey(request.key)} is held by ${who}`)
    }
    if (previous.ips.some((ip) => ip.address === address)) continue
    const listed = previous.ips.map((ip) => ip.address).join(', ')
    const message = `Lease "${address}" of ${describeKey(request.key)} is not in prevResult`
    throw new CniError('ERR_CHECK', message, { details: `prevResult has ${listed || 'no address'}` })
  }
}

/** The IPAM's part of STATUS. Throws what an ADD would throw now: a store that cannot be written, a range without a free address. */
export function checkReady(store: Store, network: string, plan: Plan): void {
  store.checkWritable()
  if (plan.rangeSets.length > 0) checkFree(store, network, plan, thisNode(), wallClock())
}

/** Lines that a GC writes of what it keeps, and as many of what is damaged: a node in trouble has thousands of either. */
const gcWarningsMaxLines = 20

/** The first lines, and one that says how many more there would be. */
function atMost(lines: readonly string[], what: string): string[] {
  const more = lines.length - gcWarningsMaxLines
  if (more <= 0) return [...lines]
  return [...lines.slice(0, gcWarningsMaxLines), `GC ${what} ${more} more; "berth leases list" and "check" show all`]
}

/** GC for a request: `cni.dev/valid-attachments` names what the runtime still knows. Returns warnings. */
export function collect(store: Store, request: Request): string[] {
  const valid = request.config['cni.dev/valid-attachments']
  // Without the list nothing is known about validity; only an empty list says "none" (SPEC section 2, GC).
  if (valid === undefined) return []
  const { network } = request.key
  // Nothing else shows whether an imported attachment lives: only a list that says something, and does not name its container
  // at all, says that it is gone.
  const isValid = ({ containerId, ifName, imported, netns }: AttachmentRecord): boolean =>
    valid.some((one) => one.containerID === containerId && (one.ifname === ifName || imported !== undefined)) ||
    ((imported !== undefined || netns === undefined) && valid.length === 0)
  const wish = { node: thisNode(), nowMs: Date.now(), inUse: inUse() }
  const { kept, damaged } = collectGarbage(store, network, isValid, wish)
  const alive = kept.map((key) => `GC keeps ${describeKey(key)}: not in the list, but its network namespace is alive`)
  const broken = damaged.map(
    (name) => `GC leaves the damaged record "${name}" alone: a DEL of its attachment releases what it holds`,
  )
  return [...atMost(alive, 'keeps'), ...atMost(broken, 'leaves alone')]
}
