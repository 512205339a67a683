/** Routes over rtnetlink (linux/rtnetlink.h). */
import {
  type Cidr,
  cidrNetwork,
  type Family,
  familyBits,
  formatCidr,
  formatIp,
  type Ip,
  ipBytes,
  ipFromBytes,
} from '../address.ts'
import {
  addressFamily,
  Message,
  type NetlinkSocket,
  netlinkFlags,
  ownProtocol,
  readAttributes,
  type Step,
} from './netlink.ts'

const RTM_NEWROUTE = 24
const RTM_DELROUTE = 25
const RTM_GETROUTE = 26
const RT_TABLE_UNSPEC = 0
/** RT_TABLE_MAIN: where a route is when no rule leads elsewhere. */
export const mainTable = 254
const RTPROT_BOOT = 3
const RT_SCOPE_UNIVERSE = 0
const RT_SCOPE_LINK = 253
const RT_SCOPE_NOWHERE = 255
const RTN_UNICAST = 1
const RTNH_F_ONLINK = 4
const RTA = { DST: 1, OIF: 4, GATEWAY: 5, PRIORITY: 6, PREFSRC: 7, METRICS: 8, TABLE: 15 } as const
const RTAX = { MTU: 2, ADVMSS: 8 } as const
const rtmsgBytes = 12

/** A route through one link; `mtuBytes` and `advmssBytes` are metrics, `scope` the kernel's number. */
export interface KernelRoute {
  readonly destination: Cidr
  readonly gateway: Ip | undefined
  /** The gateway is not in a subnet of the link: believe that it is there all the same. */
  readonly onlink?: boolean
  /** The source of what has none yet. */
  readonly source?: Ip | undefined
  readonly mtuBytes?: number | undefined
  readonly advmssBytes?: number | undefined
  readonly priority?: number | undefined
  readonly table?: number | undefined
  readonly scope?: number | undefined
}

function rtmsg(family: Family): Buffer {
  const fixed = Buffer.alloc(rtmsgBytes)
  fixed[0] = addressFamily(family)
  return fixed
}

/**
 * Adds a route in front of those to the same destination, as the reference plugins do: a pod may have a default route
 * through another of its links.
 */
export function addRoute(linkIndex: number, route: KernelRoute): Step {
  return { what: `add route to "${formatCidr(route.destination)}"`, message: routeMessage(linkIndex, route) }
}

/** Makes a route, known as this program's, the only one to its destination with its priority. */
export function setOwnRoute(linkIndex: number, route: KernelRoute): Step {
  const message = routeMessage(linkIndex, route, netlinkFlags.replace, ownProtocol)
  return { what: `set route to "${formatCidr(route.destination)}"`, message }
}

/** Removes this program's route to one address through a link, if there is one. */
export function removeOwnRoute(linkIndex: number, ip: Ip): Step {
  const fixed = rtmsg(ip.family)
  fixed[1] = familyBits(ip.family)
  fixed[4] = mainTable
  fixed[5] = ownProtocol
  // For a removal: whatever the route's scope is.
  fixed[6] = RT_SCOPE_NOWHERE
  const message = new Message(RTM_DELROUTE).fixed(fixed).u32(RTA.OIF, linkIndex).attribute(RTA.DST, ipBytes(ip))
  return { what: `remove route to "${formatIp(ip)}"`, message, allowed: ['ESRCH'] }
}

function routeMessage(
  linkIndex: number,
  route: KernelRoute,
  flags = netlinkFlags.add,
  protocol: number = RTPROT_BOOT,
): Message {
  const destination = cidrNetwork(route.destination)
  const fixed = rtmsg(destination.ip.family)
  fixed[1] = destination.prefix
  // A table above 255 does not fit the byte; RTA_TABLE carries every one.
  fixed[4] = route.table === undefined ? mainTable : RT_TABLE_UNSPEC
  fixed[5] = protocol
  fixed[6] = route.scope ?? (route.gateway === undefined ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE)
  fixed[7] = RTN_UNICAST
  if (route.onlink === true) fixed.writeUInt32LE(RTNH_F_ONLINK, 8)
  const message = new Message(RTM_NEWROUTE, flags).fixed(fixed).u32(RTA.OIF, linkIndex)
  if (destination.prefix > 0) message.attribute(RTA.DST, ipBytes(destination.ip))
  if (route.gateway !== undefined) message.attribute(RTA.GATEWAY, ipBytes(route.gateway))
  if (route.source !== undefined) message.attribute(RTA.PREFSRC, ipBytes(route.source))
  if (route.priority !== undefined) message.u32(RTA.PRIORITY, route.priority)
  if (route.table !== undefined) message.u32(RTA.TABLE, route.table)
  const { mtuBytes, advmssBytes } = route
  if (mtuBytes !== undefined || advmssBytes !== undefined) {
    message.nested(RTA.METRICS, (metrics) => {
      if (mtuBytes !== undefined) metrics.u32(RTAX.MTU, mtuBytes)
      if (advmssBytes !== undefined) metrics.u32(RTAX.ADVMSS, advmssBytes)
    })
  }
  return message
}

/** A unicast route as the kernel lists it. */
export interface ListedRoute {
  readonly destination: Cidr
  readonly gateway: Ip | undefined
  readonly linkIndex: number
  readonly table: number
  readonly priority: number
}

/** All unicast routes of a family, all tables. */
export function listRoutes(socket: NetlinkSocket, family: Family): ListedRoute[] {
  const unspecified: Ip = { family, value: 0n }
  return socket
    .request('list routes', new Message(RTM_GETROUTE, netlinkFlags.dump).fixed(rtmsg(family)))
    .filter(({ type, body }) => type === RTM_NEWROUTE && body[7] === RTN_UNICAST)
    .map(({ body }) => {
      const attributes = readAttributes(body, rtmsgBytes)
      const destination = attributes.get(RTA.DST)
      const gateway = attributes.get(RTA.GATEWAY)
      return {
        destination: { ip: destination === undefined ? unspecified : ipFromBytes(destination), prefix: body[1] ?? 0 },
        gateway: gateway === undefined ? undefined : ipFromBytes(gateway),
        linkIndex: attributes.get(RTA.OIF)?.readUInt32LE(0) ?? 0,
        priority: attributes.get(RTA.PRIORITY)?.readUInt32LE(0) ?? 0,
        table: attributes.get(RTA.TABLE)?.readUInt32LE(0) ?? body[4] ?? 0,
      }
    })
}

/** The link of the first default route of the main table, IPv4 before IPv6; undefined when there is none. */
export function defaultRouteLink(socket: NetlinkSocket): number | undefined {
  for (const family of [4, 6] as const) {
    const route = listRoutes(socket, family).find(
      ({ destination, table, linkIndex }) => destination.prefix === 0 && table === mainTable && linkIndex > 0,
    )
    if (route !== undefined) return route.linkIndex
  }
  return undefined
}
