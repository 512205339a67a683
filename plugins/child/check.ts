/** CHECK: what ADD answered is still true. Each failure names what differs. */
import { type Cidr, cidrNetwork, formatCidr, formatIp, sameIp } from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import type { Request } from '../../shared/cni/request.ts'
import { parseResult, type Result, type ResultInterface } from '../../shared/cni/result.ts'
import { listAddresses } from '../../shared/host/addresses.ts'
import { findLink, type Link } from '../../shared/host/links.ts'
import { NetlinkSocket } from '../../shared/host/netlink.ts'
import { insideNetns, type Netns, openNetns, openNetnsIfAny, sameNetns } from '../../shared/host/netns.ts'
import { type KernelRoute, type ListedRoute, listRoutes, mainTable } from '../../shared/host/routes.ts'
import { isSameRule, listRules, type Rule } from '../../shared/host/rules.ts'
import { checkClaim } from '../addresses.ts'
import type { Deps } from '../deps.ts'
import type { Layer3 } from '../layer3.ts'
import { readAddress, routingOf } from '../routing.ts'
import { type ChildConfig, withPlan } from './config.ts'
import type { ChildKind } from './kind.ts'
import { findMaster } from './master.ts'

const differ = (what: string, found: string, wanted: string): never => {
  throw new CniError('ERR_CHECK', `${what} is ${found}, and should be ${wanted}`)
}

function checkLink<Config extends ChildConfig>(
  kind: ChildKind<Config>,
  link: Link,
  config: Config,
  master: Link,
  attached: ResultInterface,
): void {
  const { mac } = attached
  const name = `"${link.name}"`
  if (link.kind !== kind.name)
    differ(`Link ${name}`, `a ${link.kind || 'physical'} link`, `a link of kind ${kind.name}`)
  if (kind.modeOf(link) !== config.mode) differ(`Mode of ${name}`, String(kind.modeOf(link)), config.mode)
  if (link.parentIndex !== master.index) differ(`Master of ${name}`, `link ${link.parentIndex}`, `"${master.name}"`)
  if (mac !== undefined && link.mac !== mac.toLowerCase()) differ(`MAC of ${name}`, link.mac, mac)
  const mtuBytes = config.mtuBytes ?? attached.mtu
  if (mtuBytes !== undefined && link.mtuBytes !== mtuBytes) {
    differ(`MTU of ${name}`, String(link.mtuBytes), String(mtuBytes))
  }
  if (!link.up) differ(`State of ${name}`, 'down', 'up')
}

const sameCidr = (a: Cidr, b: Cidr): boolean => a.prefix === b.prefix && sameIp(a.ip, b.ip)

const isSameRoute = (route: KernelRoute, found: ListedRoute, linkIndex: number): boolean =>
  found.linkIndex === linkIndex &&
  sameCidr(found.destination, cidrNetwork(route.destination)) &&
  (route.gateway === undefined || (found.gateway !== undefined && sameIp(found.gateway, route.gateway))) &&
  (route.priority === undefined || found.priority === route.priority)

/** The tables a route may stand in. A plugin chained after us may have moved all of them to one that rules lead to (sbr does). */
function tablesOf(route: KernelRoute, rules: readonly Rule[], previous: Result): number[] {
  if (route.table !== undefined && route.table !== 0) return [route.table]
  const addresses = previous.ips.map(({ address }) => readAddress(address).ip)
  return [
    mainTable,
    ...rules
      .filter(({ direction, ip }) => direction === 'from' && addresses.some((one) => sameIp(one, ip)))
      .map(({ table }) => table),
  ]
}

function checkLayer3(socket: NetlinkSocket, link: Link, previous: Result, layer3: Layer3): void {
  const found = listAddresses(socket, link.index)
  for (const { address } of previous.ips) {
    const listed = found.find((candidate) => sameCidr(candidate, readAddress(address)))
    if (listed === undefined) differ(`Address "${address}" of "${link.name}"`, 'absent', 'there')
    if (listed?.duplicated) differ(`Address "${address}" of "${link.name}"`, 'in use elsewhere on the wire', 'its own')
  }
  const { routes, rules } = routingOf(previous, layer3, link.index)
  const listedRules = listRules(socket)
  for (const rule of rules) {
    if (!listedRules.some((one) => isSameRule(one, rule))) {
      differ(`Rule ${rule.direction} "${formatIp(rule.ip)}"`, 'absent', `to table ${rule.table}`)
    }
  }
  const listed = [...listRoutes(socket, 4), ...listRoutes(socket, 6)]
  for (const route of routes) {
    const tables = tablesOf(route, listedRules, previous)
    if (!listed.some((one) => tables.includes(one.table) && isSameRoute(route, one, link.index))) {
      const what = `Route to "${formatCidr(route.destination)}" through "${link.name}"`
      differ(what, 'absent', `in table ${tables[0]}`)
    }
  }
}

/** A path that is not there any more says nothing: what counts is which namespace the link is in. */
function checkSandbox(sandbox: string | undefined, netns: Netns, { root }: Deps): void {
  if (sandbox === undefined || sandbox === '' || sandbox === netns.path) return
  const other = openNetnsIfAny(sandbox, true, root)
  if (other === undefined) return
  other[Symbol.dispose]()
  if (!sameNetns(other.identity, netns.identity))
    differ('Sandbox', `"${sandbox}" in prevResult`, `that of "${netns.path}"`)
}

/** By its recorded index, whatever it is called by now; one that was imported was made by another plugin and has only a name. */
function findOwnLink(socket: NetlinkSocket, { key }: Request, { store }: Deps): Link | undefined {
  const recorded = store.find(key)?.link
  return findLink(socket, recorded === undefined ? { name: key.ifName } : { index: recorded.index })
}

export async function check<Config extends ChildConfig>(
  kind: ChildKind<Config>,
  request: Request,
  deps: Deps,
): Promise<void> {
  const { config } = withPlan(kind.readConfig(request), request, deps)
  if (request.config.prevResult === undefined) throw new CniError('ERR_CONFIG', 'required prevResult missing')
  const previous = parseResult(request.config.prevResult, request.version)
  const { ifName } = request.key
  const attached = previous.interfaces.find(({ name }) => name === ifName)
  if (attached === undefined) throw new CniError('ERR_CHECK', `prevResult has no interface "${ifName}"`)

  using netns = openNetns(request.netnsPath, request.netnsOverride, deps.root)
  using host = deps.openHost()
  using pod = insideNetns(netns, () => new NetlinkSocket())
  const link = findOwnLink(pod, request, deps) ?? differ(`Link "${ifName}"`, 'absent', `in "${request.netnsPath}"`)
  checkSandbox(attached.sandbox, netns, deps)
  const master = findMaster(config.masterInContainer ? pod : host, config)
  if (master.own === 'missing') differ(`Master "${master.name}"`, 'absent', 'there')
  checkLink(kind, link, config, master, attached)
  checkLayer3(pod, link, previous, config.layer3)
  if (config.hostAccess) kind.hostAccess?.check({ host, pod, master }, link, previous, config.layer3)
  await checkClaim(request, deps, previous)
}
