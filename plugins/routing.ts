/** From a result to what the kernel is told of routes: in the main table, or by the source in a table of the link's own. */
import {
  type Cidr,
  cidrNetwork,
  cidrSpan,
  type Family,
  familyBits,
  type Ip,
  parseCidr,
  parseIp,
  spanContains,
} from '../shared/address.ts'
import { CniError } from '../shared/cni/errors.ts'
import type { Result, Route } from '../shared/cni/result.ts'
import type { KernelRoute } from '../shared/host/routes.ts'
import type { Rule } from '../shared/host/rules.ts'
import type { Layer3 } from './layer3.ts'

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

const gatewaysOf = ({ ips }: Result): Ip[] =>
  ips.flatMap(({ gateway }) => (present(gateway) ? [readGateway(gateway)] : []))

/**
 * The routes of a result as the kernel takes them. A route without a gateway goes through the first gateway of its
 * family, as with the reference plugins; a gateway outside all subnets of the link is reached directly on it.
 */
export function kernelRoutes(result: Result): KernelRoute[] {
  const subnets = result.ips.map(({ address }) => cidrSpan(readAddress(address)))
  const gateways = gatewaysOf(result)
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

/** What the kernel is told of a link's addresses besides the addresses. */
interface Routing {
  readonly routes: readonly KernelRoute[]
  /** Empty without source routing. */
  readonly rules: readonly Rule[]
}

/** The route to an address's own subnet, as the kernel would make it; none where the subnet is the address. */
function subnetRoute(address: Cidr, table: number): KernelRoute[] {
  if (address.prefix === familyBits(address.ip.family)) return []
  // An IPv6 address that is still looked for on the wire is refused as a preferred source; the rule does without.
  const source = address.ip.family === 4 ? address.ip : undefined
  return [{ destination: cidrNetwork(address), gateway: undefined, source, table }]
}

/** A default route through each family's gateway where the result has none: answers leave for everywhere. */
function defaultRoutes(result: Result, routes: readonly KernelRoute[], table: number): KernelRoute[] {
  return ([4, 6] as const).flatMap((family) => {
    const gateway = gatewaysOf(result).find((ip) => ip.family === family)
    const isDefault = ({ destination }: KernelRoute): boolean =>
      destination.prefix === 0 && destination.ip.family === family
    if (gateway === undefined || routes.some(isDefault)) return []
    const subnets = result.ips.map(({ address }) => cidrSpan(readAddress(address)))
    const onlink = !subnets.some((subnet) => spanContains(subnet, gateway))
    return [{ destination: { ip: { family, value: 0n }, prefix: 0 }, gateway, onlink, table }]
  })
}

/**
 * The routing of a link. With source routing its routes are in one table, numbered as the link unless told, which only what
 * leaves from the link's addresses is led to: the default route of the pod's other links stays theirs. The subnets, which the
 * kernel adds to the main table by itself, are in both, so that the pod can call whom it can see. A route that names its own
 * table stays there.
 */
export function routingOf(result: Result, { sourceRouting }: Layer3, linkIndex: number): Routing {
  const routes = kernelRoutes(result)
  if (sourceRouting === undefined) return { routes, rules: [] }
  const table = sourceRouting.table || linkIndex
  const addresses = result.ips.map(({ address }) => readAddress(address))
  const led = routes.map((route) => ({ ...route, table: route.table ?? table }))
  const inTable = led.filter((route) => route.table === table)
  return {
    routes: [
      ...addresses.flatMap((address) => subnetRoute(address, table)),
      ...led,
      ...defaultRoutes(result, inTable, table),
    ],
    rules: addresses.map(({ ip }) => ({ direction: 'from', ip, table })),
  }
}
