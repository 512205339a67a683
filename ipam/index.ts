/** The IPAM's door: what the plugins, and whoever else keeps attachments, may use of it. */
import { CniError } from '../shared/cni/errors.ts'
import { keyValue, nearMisses } from '../shared/cni/keys.ts'
import type { Request } from '../shared/cni/request.ts'
import { type Result, versionCarriesMany } from '../shared/cni/result.ts'
import { readBootId } from '../shared/host/boot.ts'
import type { Netns } from '../shared/host/netns.ts'
import { type Claimed, claimAddresses, collectGarbage } from './claim.ts'
import { type RequestedAddress, readRequested } from './decide.ts'
import { whereaboutsPlan, whereaboutsShape, whereaboutsUnusedKeys } from './dialects/whereabouts.ts'
import { FileStore } from './file-store.ts'
import { emptyPlan, type Plan } from './plan.ts'
import { type AttachmentRecord, describeKey, leaseIp, recordKey, sameKey } from './record.ts'
import type { Store } from './store.ts'

export { releaseAddresses } from './claim.ts'
export type { AttachmentRecord } from './record.ts'
export type { Store } from './store.ts'
export { emptyPlan }

/** The `ipam.type` that this IPAM answers to; under a Berth plugin it is called in the same process. */
export const ipamType = 'berth-ipam'

export const openStore = (dataDir: string): Store => new FileStore(dataDir)

/** The plan of a request's `ipam` object. Throws ERR_CONFIG when it has none, or one that cannot be read. */
export function planOf(request: Request): Plan {
  const ipam = keyValue(request.raw, 'ipam')
  if (ipam === undefined) throw new CniError('ERR_CONFIG', "IPAM config missing 'ipam' key")
  return whereaboutsPlan(ipam)
}

/** Warnings about keys of the `ipam` object that are probably misspelt. */
export function ipamKeyWarnings({ raw }: Request): string[] {
  const ipam = keyValue(raw, 'ipam')
  const warnings = nearMisses(ipam, [...Object.keys(whereaboutsShape), ...whereaboutsUnusedKeys], 'ipam.')
  if (keyValue(ipam, 'enable_overlapping_ranges') === false) {
    warnings.push(
      '"ipam.enable_overlapping_ranges": false is not supported: addresses stay unique within "network_name"',
    )
  }
  return warnings
}

/**
 * The addresses asked for, from the first place that asks: runtimeConfig.ips, args.cni.ips, CNI_ARGS IP (CONVENTIONS.md:
 * whoever finds the same thing in a newer place ignores CNI_ARGS).
 */
function requestedTexts({ config, args }: Request): readonly string[] {
  const places = [config.runtimeConfig?.ips, config.args?.cni?.ips, args.IP?.split(',')]
  const asked = places
    .map((texts) => texts?.filter((text) => text !== ''))
    .find((texts) => texts !== undefined && texts.length > 0)
  return asked ?? []
}

/** Requested addresses of one attachment; a pod's annotation may ask for any number. */
const requestedMax = 512

function podOf({ args }: Request): AttachmentRecord['pod'] {
  const { K8S_POD_NAMESPACE: namespace, K8S_POD_NAME: name, K8S_POD_UID: uid } = args
  if (namespace === undefined && name === undefined && uid === undefined) return undefined
  return {
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
    ...(uid === undefined ? {} : { uid }),
  }
}

/** A result of 0.1.0 and 0.2.0 has room for one address of each family: the others would be held and never used. */
function refuseMany(plan: Plan, requested: readonly RequestedAddress[], version: string): void {
  const families = [...plan.ranges.map(({ network }) => network), ...plan.fixed.map(({ address }) => address)].map(
    ({ ip }) => ip.family,
  )
  const asked = requested.map(({ ip }) => ip.family)
  for (const family of [4, 6]) {
    const most = Math.max(...[families, asked].map((list) => list.filter((one) => one === family).length))
    if (most > 1)
      throw new CniError('ERR_CONFIG', `CNI version "${version}" does not support more than 1 address per family`)
  }
}

/** Claims for a request what `plan` gives, and records the link that will carry it. Errors: see claimAddresses. */
export function claim(
  store: Store,
  request: Request,
  plan: Plan,
  netns: Netns | undefined,
  link?: AttachmentRecord['link'],
): Claimed {
  const asksNothing = plan === emptyPlan
  const texts = asksNothing ? [] : requestedTexts(request)
  if (texts.length > requestedMax) {
    throw new CniError(
      'ERR_CONFIG',
      `Cannot claim ${texts.length} requested addresses: at most ${requestedMax} are allowed`,
    )
  }
  const requested = readRequested(texts)
  if (!asksNothing && plan.ranges.length + plan.fixed.length + requested.length === 0) {
    throw new CniError(
      'ERR_CONFIG',
      'Cannot read "ipam": it has no "range", "ipRanges" or "addresses", and no address was asked for',
    )
  }
  if (!versionCarriesMany(request.version)) refuseMany(plan, requested, request.version)
  return claimAddresses(store, {
    key: request.key,
    plan,
    requested,
    ...(link === undefined ? {} : { link }),
    ...(netns === undefined ? {} : { netns: { path: netns.path, ...netns.identity } }),
    pod: podOf(request),
    bootId: readBootId(),
    now: new Date(),
  })
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
    const holder = store.holder(record.space, leaseIp(lease))
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

/** GC for a request: `cni.dev/valid-attachments` names what the runtime still knows. Returns warnings. */
export function collect(store: Store, request: Request): string[] {
  const valid = request.config['cni.dev/valid-attachments']
  // Without the list nothing is known about validity; only an empty list says "none" (SPEC section 2, GC).
  if (valid === undefined) return []
  const { network } = request.key
  const isValid = (containerId: string, ifName: string): boolean =>
    valid.some((attachment) => attachment.containerID === containerId && attachment.ifname === ifName)
  const { kept, damaged } = collectGarbage(store, network, (key) => isValid(key.containerId, key.ifName), readBootId())
  return [
    ...kept.map((key) => `GC keeps ${describeKey(key)}: not in the list, but its network namespace is alive`),
    ...damaged.map(
      (name) => `GC leaves the damaged record "${name}" alone: a DEL of its attachment releases what it holds`,
    ),
  ]
}
