/** CHECK: what ADD answered is still true. Each failure names what differs. */
import { type Cidr, cidrNetwork, formatCidr, sameIp } from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import type { Request } from '../../shared/cni/request.ts'
import { parseResult, type Result } from '../../shared/cni/result.ts'
import { listAddresses } from '../../shared/host/addresses.ts'
import { findLink, type Link } from '../../shared/host/links.ts'
import { NetlinkSocket } from '../../shared/host/netlink.ts'
import { insideNetns, openNetns } from '../../shared/host/netns.ts'
import { type KernelRoute, type ListedRoute, listRoutes } from '../../shared/host/routes.ts'
import { checkClaim } from '../addresses.ts'
import { kernelRoutes, readAddress } from '../configure.ts'
import type { Deps } from '../deps.ts'
import { type MacvlanConfig, macvlanConfig } from './config.ts'
import { findMaster } from './master.ts'

const mainTable = 254

const differ = (what: string, found: string, wanted: string): never => {
  throw new CniError('ERR_CHECK', `${what} is ${found}, and should be ${wanted}`)
}

function checkLink(link: Link, config: MacvlanConfig, master: Link, mac: string | undefined): void {
  const name = `"${link.name}"`
  if (link.kind !== 'macvlan') differ(`Link ${name}`, `a ${link.kind || 'physical'} link`, 'a macvlan')
  if (link.macvlanMode !== config.mode) differ(`Mode of ${name}`, String(link.macvlanMode), config.mode)
  if (link.parentIndex !== master.index) differ(`Master of ${name}`, `link ${link.parentIndex}`, `"${master.name}"`)
  if (mac !== undefined && link.mac !== mac.toLowerCase()) differ(`MAC of ${name}`, link.mac, mac)
  if (config.mtuBytes !== undefined && link.mtuBytes !== config.mtuBytes) {
    differ(`MTU of ${name}`, String(link.mtuBytes), String(config.mtuBytes))
  }
  if (!link.up) differ(`State of ${name}`, 'down', 'up')
}

const sameCidr = (a: Cidr, b: Cidr): boolean => a.prefix === b.prefix && sameIp(a.ip, b.ip)

function isInstalled(route: KernelRoute, listed: readonly ListedRoute[], linkIndex: number): boolean {
  return listed.some(
    (found) =>
      found.linkIndex === linkIndex &&
      found.table === (route.table || mainTable) &&
      sameCidr(found.destination, cidrNetwork(route.destination)) &&
      (route.gateway === undefined || (found.gateway !== undefined && sameIp(found.gateway, route.gateway))),
  )
}

function checkLayer3(socket: NetlinkSocket, link: Link, previous: Result): void {
  const found = listAddresses(socket, link.index)
  for (const { address } of previous.ips) {
    if (!found.some((candidate) => sameCidr(candidate, readAddress(address)))) {
      differ(`Address "${address}" of "${link.name}"`, 'absent', 'there')
    }
  }
  const listed = [...listRoutes(socket, 4), ...listRoutes(socket, 6)]
  for (const route of kernelRoutes(previous)) {
    if (!isInstalled(route, listed, link.index)) {
      differ(`Route to "${formatCidr(route.destination)}" through "${link.name}"`, 'absent', 'there')
    }
  }
}

export async function check(request: Request, deps: Deps): Promise<void> {
  const config = macvlanConfig(request)
  if (request.config.prevResult === undefined) throw new CniError('ERR_CONFIG', 'required prevResult missing')
  const previous = parseResult(request.config.prevResult, request.version)
  const { ifName } = request.key
  const attached = previous.interfaces.find(({ name }) => name === ifName)
  if (attached === undefined) throw new CniError('ERR_CHECK', `prevResult has no interface "${ifName}"`)

  using netns = openNetns(request.netnsPath, request.netnsOverride)
  using host = new NetlinkSocket()
  using pod = insideNetns(netns, () => new NetlinkSocket())
  const link = findLink(pod, { name: ifName }) ?? differ(`Link "${ifName}"`, 'absent', `in "${request.netnsPath}"`)
  checkLink(link, config, findMaster(config.masterInContainer ? pod : host, config), attached.mac)
  checkLayer3(pod, link, previous)
  await checkClaim(request, deps, previous)
}
