/** Configuring a link in a pod's namespace: sysctls first, then addresses, up and routes in one send. */
import { type Cidr, cidrSpan, type Family, type Ip, parseCidr, parseIp, spanContains } from '../shared/address.ts'
import { CniError } from '../shared/cni/errors.ts'
import type { Result, Route } from '../shared/cni/result.ts'
import { addAddress } from '../shared/host/addresses.ts'
import { SystemError } from '../shared/host/libc.ts'
import { setLinkUp } from '../shared/host/links.ts'
import type { NetlinkSocket } from '../shared/host/netlink.ts'
import { insideNetns, type Netns } from '../shared/host/netns.ts'
import { addRoute, type KernelRoute } from '../shared/host/routes.ts'
import { setNetSysctl } from '../shared/host/sysctl.ts'

export function readAddress(text: string): Cidr {
  const cidr = parseCidr(text)
  if (cidr === undefined)
    throw new CniError('ERR_CONFIG', `Cannot use address ${JSON.stringify(text)}: not "address/prefix"`)
  return cidr
}

function readGateway(text: string): Ip {
  const ip = parseIp(text)
  if (ip === undefined)
    throw new CniError('ERR_CONFIG', `Cannot use gateway ${JSON.stringify(text)}: not an IP address`)
  return ip
}

const present = (text: string | undefined): text is string => text !== undefined && text !== ''

/**
 * The routes of a result as the kernel takes them. A route without a gateway goes through the first gateway of its
 * family, as with the reference plugins; a gateway outside all subnets of the link is reached directly on it.
 */
export function kernelRoutes(result: Result): KernelRoute[] {
  const subnets = result.ips.map(({ address }) => cidrSpan(readAddress(address)))
  const gateways = result.ips.flatMap(({ gateway }) => (present(gateway) ? [readGateway(gateway)] : []))
  const defaultGateway = (family: Family): Ip | undefined => gateways.find((gateway) => gateway.family === family)
  return result.routes.map((route: Route) => {
    const destination = readAddress(route.dst)
    const gateway = present(route.gw) ? readGateway(route.gw) : defaultGateway(destination.ip.family)
    return {
      destination,
      gateway,
      onlink: gateway !== undefined && !subnets.some((subnet) => spanContains(subnet, gateway)),
      mtuBytes: route.mtu,
      advmssBytes: route.advmss,
      priority: route.priority,
      table: route.table,
      scope: route.scope,
    }
  })
}

/**
 * What must be true of the link before it is up. Router advertisements would add addresses that no IPAM knows of; the
 * notify ones make the kernel announce the addresses once, so that neighbours forget who had them before.
 */
function setSysctls(name: string, ipv6: boolean): void {
  setNetSysctl(`ipv4/conf/${name}/arp_notify`, '1')
  setNetSysctl(`ipv6/conf/${name}/accept_ra`, '0')
  if (!ipv6) return
  // Runtimes switch IPv6 off in namespaces of IPv4 pods; an IPv6 address asked for is the wish to have it here.
  for (const link of ['lo', name]) setNetSysctl(`ipv6/conf/${link}/disable_ipv6`, '0')
  setNetSysctl(`ipv6/conf/${name}/keep_addr_on_down`, '1')
  setNetSysctl(`ipv6/conf/${name}/ndisc_notify`, '1')
}

/** Gives the link its addresses and routes and sets it up. Throws ERR_KERNEL with the kernel's words. */
export function configureLink(
  socket: NetlinkSocket,
  netns: Netns,
  link: { name: string; index: number; mac: string },
  result: Result,
): void {
  const addresses = result.ips.map(({ address }) => readAddress(address))
  const routes = kernelRoutes(result)
  const ipv6 = addresses.some(({ ip }) => ip.family === 6)
  try {
    if (addresses.length > 0) insideNetns(netns, () => setSysctls(link.name, ipv6))
    // Addresses before up: what the kernel announces at that moment, and takes into use without a wait, is them.
    socket.batch([
      ...addresses.map((address) => addAddress(link.index, address)),
      setLinkUp(link.index),
      ...routes.map((route) => addRoute(link.index, route)),
    ])
  } catch (error) {
    if (!(error instanceof SystemError)) throw error
    const details = JSON.stringify({ ips: result.ips, routes: result.routes })
    // Two links of one master cannot be up with the same MAC.
    const why =
      error.code === 'EADDRINUSE' ? `mac "${link.mac}" is in use on its master: ${error.message}` : error.message
    throw new CniError('ERR_KERNEL', `Cannot configure "${link.name}": ${why}`, { details, cause: error })
  }
}
