/** The IPAM's door: what the plugins, and whoever else keeps attachments, may use of it. */
import { CniError } from '../shared/cni/errors.ts'
import { keyValue, nearMisses } from '../shared/cni/keys.ts'
import type { Request } from '../shared/cni/request.ts'
import type { Result } from '../shared/cni/result.ts'
import { readBootId } from '../shared/host/boot.ts'
import type { Netns } from '../shared/host/netns.ts'
import { type Claimed, claimAddresses, collectGarbage } from './claim.ts'
import { readRequested } from './decide.ts'
import { whereaboutsPlan, whereaboutsShape, whereaboutsUnusedKeys } from './dialects/whereabouts.ts'
import { FileStore } from './file-store.ts'
import { emptyPlan, type Plan } from './plan.ts'
import { type AttachmentRecord, describeKey } from './record.ts'
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
export const ipamKeyWarnings = ({ raw }: Request): string[] =>
  nearMisses(keyValue(raw, 'ipam'), [...Object.keys(whereaboutsShape), ...whereaboutsUnusedKeys], 'ipam.')

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

function podOf({ args }: Request): AttachmentRecord['pod'] {
  const { K8S_POD_NAMESPACE: namespace, K8S_POD_NAME: name, K8S_POD_UID: uid } = args
  if (namespace === undefined && name === undefined && uid === undefined) return undefined
  return {
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
    ...(uid === undefined ? {} : { uid }),
  }
}

/** Claims for a request what `plan` gives, and records the link that will carry it. Errors: see claimAddresses. */
export function claim(
  store: Store,
  request: Request,
  plan: Plan,
  netns: Netns,
  link?: AttachmentRecord['link'],
): Claimed {
  const asksNothing = plan === emptyPlan
  const requested = asksNothing ? [] : readRequested(requestedTexts(request))
  if (!asksNothing && plan.ranges.length + plan.fixed.length + requested.length === 0) {
    throw new CniError(
      'ERR_CONFIG',
      'Cannot read "ipam": it has no "range", "ipRanges" or "addresses", and no address was asked for',
    )
  }
  return claimAddresses(store, {
    key: request.key,
    plan,
    requested,
    ...(link === undefined ? {} : { link }),
    netns: { path: netns.path, ...netns.identity },
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

/** The lease part of CHECK. Throws ERR_CHECK when the attachment holds nothing, or not what prevResult says. */
export function checkLeases(store: Store, request: Request, previous: Result): void {
  const record = store.find(request.key)
  if (record === undefined) {
    throw new CniError('ERR_CHECK', `Cannot find a lease of ${describeKey(request.key)}: nothing is recorded`)
  }
  for (const { address } of record.leases) {
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
