/** What ADD, DEL, CHECK and GC do about host access (docs/decisions/008-host-access.md). */
import type { AttachmentRecord } from '../../ipam/index.ts'
import { formatIp, type Ip, parseCidr, sameIp } from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { keyValue } from '../../shared/cni/keys.ts'
import type { AttachmentKey, Request } from '../../shared/cni/request.ts'
import type { Result } from '../../shared/cni/result.ts'
import { type ListedAddress, listAddresses } from '../../shared/host/addresses.ts'
import type { Link } from '../../shared/host/links.ts'
import { listNeighbours, type Neighbour, setNeighbour } from '../../shared/host/neighbours.ts'
import type { NetlinkSocket, Step } from '../../shared/host/netlink.ts'
import { addRoute, listRoutes, mainTable, setOwnRoute } from '../../shared/host/routes.ts'
import { addRule, isSameRule, listRules } from '../../shared/host/rules.ts'
import type { Undo } from '../../shared/undo.ts'
import type { RecordedLink } from '../addresses.ts'
import { inWords } from '../child/kernel-error.ts'
import { masterAskedFor } from '../child/master.ts'
import type { Deps } from '../deps.ts'
import type { Layer3 } from '../layer3.ts'
import {
  familiesOf,
  hostLinkIndex,
  hostLinkMac,
  hostLinkName,
  hostRoutes,
  isPartyOf,
  type Party,
  podAddresses,
  podRouting,
  refuseHostLink,
} from './access.ts'
import { macvlanConfig } from './config.ts'
import { findHostLink, hostLinkKey, nodeAddresses, tellHostLink, withdraw } from './host-link.ts'

interface PodLink {
  readonly name: string
  readonly index: number
  readonly mac: string
}

/** What the pod is told: where the node's addresses are, and how to get to those outside of its subnets. */
function podSteps(index: number, hostMac: string, ips: Ip[], result: Result, layer3: Layer3): Step[] {
  const { routes, rules } = podRouting(result, layer3, index, ips)
  return [
    ...ips.map((ip) => setNeighbour(index, { ip, mac: hostMac })),
    ...routes.map((route) => addRoute(index, route)),
    ...rules.map(addRule),
  ]
}

/** What host access is given with. */
interface Granting {
  readonly host: NetlinkSocket
  readonly master: Link
  /** What the node's links have. */
  readonly addresses: readonly ListedAddress[]
  readonly deps: Deps
  readonly undo: Undo
}

/**
 * Lets the node reach the pod's addresses, and returns what the pod is to be told in turn once its link is up. The attachment
 * is recorded with the master by now. Throws ERR_CONFIG, ERR_CONFLICT, ERR_KERNEL and ERR_TRY_AGAIN.
 */
export async function grantHostAccess(
  { host, master, addresses, deps, undo }: Granting,
  link: PodLink,
  recorded: RecordedLink,
  result: Result,
  layer3: Layer3,
): Promise<Step[]> {
  if (recorded.hostAccess !== master.index) {
    const details = 'a DEL of the attachment releases it'
    const why = 'an earlier call claimed its addresses without'
    throw new CniError('ERR_CONFLICT', `Cannot give "${link.name}" hostAccess: ${why}`, { details })
  }
  refuseHostLink(master)
  const ips = nodeAddresses(host, master, addresses, familiesOf(result))
  const routes = hostRoutes(result, ips)
  const party = { mac: link.mac, addresses: podAddresses(result) }
  using _held = await deps.hold(hostLinkKey(deps, master.index))
  // After the wait: an undo of a call that got no turn would wait as long again.
  undo.push('host access', async () => {
    using _held = await deps.hold(hostLinkKey(deps, master.index))
    await withdraw(host, master.index, (neighbour) => isPartyOf(party, neighbour), deps)
  })
  try {
    const index = hostLinkIndex(master.index)
    // Neighbours first: who removes the link, or what is left on it, goes by them.
    tellHostLink(host, master, [
      ...routes.map(({ destination: { ip } }) => setNeighbour(index, { ip, mac: link.mac })),
      ...routes.map((route) => setOwnRoute(index, route)),
    ])
    return podSteps(link.index, hostLinkMac(master.mac), ips, result, layer3)
  } catch (error) {
    throw inWords(error, `Cannot give "${link.name}" hostAccess on master "${master.name}"`)
  }
}

const partyOf = ({ link, leases }: AttachmentRecord): Party => ({
  mac: link?.mac,
  addresses: leases.flatMap(({ address }) => parseCidr(address)?.ip ?? []),
})

/**
 * Whether no recorded attachment has a neighbour: a sweep or an administrator released it, and its DEL never came. In doubt
 * somebody has it: a record that cannot be read, or that knows neither MAC nor address, may be of it.
 */
function strayIn({ store }: Deps, masterIndex: number): (neighbour: Neighbour) => boolean {
  if (!store.exists()) return () => false
  const { records, damaged } = store.list()
  const parties = records.filter(({ link }) => link?.hostAccess === masterIndex).map(partyOf)
  const isBlind = ({ mac, addresses }: Party): boolean => mac === undefined && addresses.length === 0
  if (damaged.length > 0 || parties.some(isBlind)) return () => false
  return (neighbour) => !parties.some((party) => isPartyOf(party, neighbour))
}

/** The index of the configured master; undefined, with a warning, when it is not there: its host link went with it. */
const masterIndexOf = (host: NetlinkSocket, request: Request, deps: Deps): number | undefined =>
  masterAskedFor(host, macvlanConfig, request, deps, 'link of hostAccess')?.index

const isAskedFor = ({ raw }: Request): boolean => keyValue(raw, 'hostAccess') === true

/**
 * Removes the attachment's part of the host link, by its record or, without one, by its config and the result of its ADD; and what
 * nobody has any more. `hold` waits for other calls, or answers undefined where it cannot. Throws ERR_KERNEL and ERR_TRY_AGAIN.
 */
export async function withdrawHostAccess(
  request: Request,
  deps: Deps,
  record: AttachmentRecord | undefined,
  previous: Result | undefined,
  hold: (deps: Deps, key: AttachmentKey) => Promise<Disposable | undefined>,
): Promise<void> {
  if (record === undefined ? !isAskedFor(request) : record.link?.hostAccess === undefined) return
  using host = deps.openHost()
  const masterIndex = record?.link?.hostAccess ?? masterIndexOf(host, request, deps)
  if (masterIndex === undefined) return
  const told = previous?.interfaces.find(({ name }) => name === request.key.ifName)?.mac?.toLowerCase()
  const { mac = told, addresses } = record === undefined ? { addresses: [] } : partyOf(record)
  using _held = await hold(deps, hostLinkKey(deps, masterIndex))
  try {
    // The records of a whole cluster are not read for one DEL.
    const isStray = deps.store.shared ? () => false : strayIn(deps, masterIndex)
    await withdraw(host, masterIndex, (one) => isPartyOf({ mac, addresses }, one) || isStray(one), deps)
  } catch (error) {
    throw inWords(error, `Cannot take back hostAccess of "${request.key.ifName}"`)
  }
}

/** GC's part: removes what the master's host link was told of attachments that nobody has any more. */
export async function collectHostAccess(request: Request, deps: Deps): Promise<void> {
  if (!isAskedFor(request) || !deps.store.exists()) return
  using host = deps.openHost()
  const masterIndex = masterIndexOf(host, request, deps)
  if (masterIndex === undefined) return
  using _held = await deps.hold(hostLinkKey(deps, masterIndex))
  try {
    await withdraw(host, masterIndex, strayIn(deps, masterIndex), deps)
  } catch (error) {
    throw inWords(error, `Cannot take back hostAccess on link ${masterIndex}`)
  }
}

const absent = (what: string, wanted = 'there'): never => {
  throw new CniError('ERR_CHECK', `${what} is absent, and should be ${wanted}`)
}

function checkNeighbours(socket: NetlinkSocket, linkIndex: number, name: string, wanted: readonly Neighbour[]): void {
  const told = listNeighbours(socket, linkIndex)
  for (const { ip, mac } of wanted) {
    const found = told.find((one) => sameIp(one.ip, ip))
    const what = `Neighbour "${formatIp(ip)}" of "${name}"`
    if (found === undefined) absent(what, `at ${mac}`)
    else if (found.mac !== mac) throw new CniError('ERR_CHECK', `${what} is at ${found.mac}, and should be at ${mac}`)
  }
}

interface Checking {
  readonly host: NetlinkSocket
  readonly pod: NetlinkSocket
  readonly master: Link
}

/** CHECK's part. Throws ERR_CHECK that names what differs. */
export function checkHostAccess(
  { host, pod, master }: Checking,
  link: PodLink,
  previous: Result,
  layer3: Layer3,
): void {
  const name = hostLinkName(master.index)
  const hostLink = findHostLink(host, master.index) ?? absent(`Link "${name}" of the node`)
  const differ = (what: string, found: string, wanted: string): never => {
    throw new CniError('ERR_CHECK', `${what} of the node's "${name}" is ${found}, and should be ${wanted}`)
  }
  if (hostLink.macvlanMode !== 'bridge') differ('Mode', String(hostLink.macvlanMode), 'bridge')
  if (!hostLink.up) differ('State', 'down', 'up')
  const ips = nodeAddresses(host, master, listAddresses(host), familiesOf(previous))
  const expected = hostRoutes(previous, ips).map(({ destination: { ip } }) => ip)
  const { mac } = link
  checkNeighbours(
    host,
    hostLink.index,
    name,
    expected.map((ip) => ({ ip, mac })),
  )
  checkNeighbours(
    pod,
    link.index,
    link.name,
    ips.map((ip) => ({ ip, mac: hostLink.mac })),
  )
  const { routes, rules } = podRouting(previous, layer3, link.index, ips)
  const check = (socket: NetlinkSocket, index: number, through: string, ip: Ip, table: number): void => {
    const isIt = (one: ReturnType<typeof listRoutes>[number]): boolean =>
      one.linkIndex === index && one.table === table && one.gateway === undefined && sameIp(one.destination.ip, ip)
    if (!listRoutes(socket, ip.family).some(isIt))
      absent(`Route to "${formatIp(ip)}" through "${through}"`, `in table ${table}`)
  }
  for (const ip of expected) check(host, hostLink.index, name, ip, mainTable)
  for (const { destination, table = mainTable } of routes) check(pod, link.index, link.name, destination.ip, table)
  const listed = listRules(pod)
  for (const rule of rules) {
    if (!listed.some((one) => isSameRule(one, rule))) {
      absent(`Rule ${rule.direction} "${formatIp(rule.ip)}"`, `to table ${rule.table}`)
    }
  }
}
