/** The part of CHECK that is the same for every link: namespace, addresses, routes and rules. Each failure names what differs. */
import { type Cidr, cidrNetwork, formatCidr, formatIp, sameIp } from '../shared/address.ts'
import { CniError } from '../shared/cni/errors.ts'
import type { Result } from '../shared/cni/result.ts'
import { listAddresses } from '../shared/host/addresses.ts'
import type { Link } from '../shared/host/links.ts'
import type { NetlinkSocket } from '../shared/host/netlink.ts'
import { type Netns, openNetnsIfAny, sameNetns } from '../shared/host/netns.ts'
import { type KernelRoute, type ListedRoute, listRoutes, mainTable } from '../shared/host/routes.ts'
import { isSameRule, listRules, type Rule } from '../shared/host/rules.ts'
import type { Deps } from './deps.ts'
import type { Layer3 } from './layer3.ts'
import { readAddress, routingOf } from './routing.ts'

/** Throws ERR_CHECK. */
export const differ = (what: string, found: string, wanted: string): never => {
  throw new CniError('ERR_CHECK', `${what} is ${found}, and should be ${wanted}`)
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

/** Throws ERR_CHECK for an address, a rule or a route of the result that the link does not have. */
export function checkLayer3(socket: NetlinkSocket, link: Link, previous: Result, layer3: Layer3): void {
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
export function checkSandbox(sandbox: string | undefined, netns: Netns, { root }: Deps): void {
  if (sandbox === undefined || sandbox === '' || sandbox === netns.path) return
  const other = openNetnsIfAny(sandbox, true, root)
  if (other === undefined) return
  other[Symbol.dispose]()
  if (!sameNetns(other.identity, netns.identity))
    differ('Sandbox', `"${sandbox}" in prevResult`, `that of "${netns.path}"`)
}
