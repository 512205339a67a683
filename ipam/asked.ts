/** What a request asks of the IPAM: its plan, the addresses it names, and who it asks for. */
import { monotonicMs, wallClock } from '../shared/clock.ts'
import { CniError } from '../shared/cni/errors.ts'
import { keyValue } from '../shared/cni/keys.ts'
import type { Request } from '../shared/cni/request.ts'
import { versionCarriesMany } from '../shared/cni/result.ts'
import { readBootId, readHostIdentity } from '../shared/host/boot.ts'
import type { Netns } from '../shared/host/netns.ts'
import { messageOf } from '../shared/message.ts'
import { readUserFile } from '../shared/user-file.ts'
import type { Claim } from './claim.ts'
import { type RequestedAddress, readRequested } from './decide.ts'
import { parseResolvConf, resolvConfPath } from './dialects/host-local.ts'
import { dialectFor } from './dialects/index.ts'
import type { AttachmentRecord } from './ledger/record.ts'
import { withNodeDefaults } from './node-defaults.ts'
import { emptyPlan, type Plan } from './plan.ts'
import type { Node } from './sweep.ts'

/** Where the peer's node-wide defaults stand, in its order; the config's `configuration_path` goes before them. */
const whereaboutsFiles = [
  '/etc/kubernetes/cni/net.d/whereabouts.d/whereabouts.conf',
  '/etc/cni/net.d/whereabouts.d/whereabouts.conf',
  '/host/etc/cni/net.d/whereabouts.d/whereabouts.conf',
]
const fileMaxBytes = 1024 * 1024

let node: Node | undefined

/** Read once: a node that gets another name does not live on under the old one for long. */
export function thisNode(): Node {
  node ??= { host: readHostIdentity(), bootId: readBootId() }
  return node
}

/** What is not there is not looked for again in each of many calls. */
const absentForMs = 1000
let absentSinceMs = Number.NEGATIVE_INFINITY

/** Whether the node's own defaults were not there a moment ago. */
const wereAbsent = (root: string): boolean => root === '' && monotonicMs() - absentSinceMs < absentForMs

/** The first of the files that is there, as JSON. Throws ERR_CONFIG or ERR_IO that names the one that is not. */
function readDefaults(ipam: unknown, root: string): unknown {
  const own = keyValue(ipam, 'configuration_path')
  const ownFiles = typeof own === 'string' && own !== '' ? [own] : []
  for (const path of [...ownFiles, ...(wereAbsent(root) ? [] : whereaboutsFiles)]) {
    const text = readUserFile('the defaults in', path, fileMaxBytes, root)
    if (text === undefined) continue
    try {
      return JSON.parse(text)
    } catch (error) {
      const why = messageOf(error)
      throw new CniError('ERR_CONFIG', `Cannot read the defaults in "${path}": ${why}`, { cause: error })
    }
  }
  if (root === '' && !wereAbsent(root)) absentSinceMs = monotonicMs()
  return undefined
}

/**
 * The plan of a request's `ipam` object; its files are read under `root`. Throws ERR_CONFIG when it has none, or one that cannot be
 * read, ERR_IO for its files.
 */
export function planOf(request: Request, root = ''): Plan {
  const ipam = keyValue(request.raw, 'ipam')
  if (ipam === undefined) throw new CniError('ERR_CONFIG', "IPAM config missing 'ipam' key")
  const dialect = dialectFor(ipam)
  const plan = dialect.plan({
    ipam: withNodeDefaults(ipam, root),
    network: request.config.name,
    runtimeRanges: keyValue(keyValue(request.raw, 'runtimeConfig'), 'ipRanges'),
    defaults: dialect.name === 'whereabouts' ? readDefaults(ipam, root) : undefined,
  })
  const resolvConf = dialect.name === 'host-local' ? resolvConfPath(ipam) : undefined
  return resolvConf === undefined ? plan : { ...plan, dns: readResolvConf(resolvConf, root) }
}

function readResolvConf(path: string, root: string): Plan['dns'] {
  const what = '"ipam.resolvConf":'
  const text = readUserFile(what, path, fileMaxBytes, root)
  if (text === undefined) throw new CniError('ERR_CONFIG', `Cannot read ${what} ${JSON.stringify(path)}: no such file`)
  return parseResolvConf(text)
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
  for (const text of [namespace, name]) {
    // No pod has one, and what is put out of use on the wire is kept under a name that has.
    if (text !== undefined && /\s/.test(text)) {
      throw new CniError('ERR_ENVIRONMENT', `CNI_ARGS: ${JSON.stringify(text)} is no name of a pod`)
    }
  }
  return {
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
    ...(uid === undefined ? {} : { uid }),
  }
}

/** A result of 0.1.0 and 0.2.0 has room for one address of each family: the others would be held and never used. */
function refuseMany(plan: Plan, requested: readonly RequestedAddress[], version: string): void {
  const sets = plan.rangeSets.flatMap(([range]) => (range === undefined ? [] : [range.network.ip.family]))
  const planned = [...sets, ...plan.fixed.map(({ address }) => address.ip.family)]
  const asked = requested.map(({ ip }) => ip.family)
  for (const family of [4, 6]) {
    const most = Math.max(...[planned, asked].map((list) => list.filter((one) => one === family).length))
    if (most > 1)
      throw new CniError('ERR_CONFIG', `CNI version "${version}" does not support more than 1 address per family`)
  }
}

function requestedOf(request: Request, plan: Plan): RequestedAddress[] {
  const texts = plan === emptyPlan ? [] : requestedTexts(request)
  if (texts.length > requestedMax) {
    throw new CniError(
      'ERR_CONFIG',
      `Cannot claim ${texts.length} requested addresses: at most ${requestedMax} are allowed`,
    )
  }
  const requested = readRequested(texts)
  if (plan !== emptyPlan && plan.rangeSets.length + plan.fixed.length + requested.length === 0) {
    throw new CniError('ERR_CONFIG', 'Cannot read "ipam": it has no range and no address, and no address was asked for')
  }
  if (!versionCarriesMany(request.version)) refuseMany(plan, requested, request.version)
  return requested
}

/** The claim that a request makes. Throws ERR_CONFIG for requested addresses that cannot be. */
export function claimOf(
  request: Request,
  plan: Plan,
  netns: Netns | undefined,
  link?: AttachmentRecord['link'],
): Claim {
  return {
    key: request.key,
    plan,
    requested: requestedOf(request, plan),
    ...(link === undefined ? {} : { link }),
    ...(netns === undefined ? {} : { netns: { path: netns.path, ...netns.identity } }),
    pod: podOf(request),
    node: thisNode(),
    now: wallClock(),
  }
}
