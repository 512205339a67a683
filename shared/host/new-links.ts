/** Making links over rtnetlink: those that stand on another one (macvlan, ipvlan, VLAN), and pairs (linux/if_link.h). */
import {
  IFLA,
  IFLA_INFO,
  IFLA_IPVLAN,
  IFLA_MACVLAN,
  IFLA_VLAN,
  type IpvlanMode,
  ifinfomsg,
  ipvlanModes,
  type MacvlanMode,
  macBytes,
  macvlanModes,
  RTM_NEWLINK,
} from './links.ts'
import { Message, type NetlinkSocket, netlinkFlags } from './netlink.ts'
import type { Netns } from './netns.ts'

/** A link that stands on another one. */
export interface ChildSpec {
  readonly name: string
  /** The index the link shall have, so that nobody needs to look it up afterwards; 0: one of the kernel's choice. */
  readonly index: number
  readonly parentIndex: number
  /** Undefined: as large as the parent's. */
  readonly mtuBytes: number | undefined
  /** The namespace to create it in; undefined: the socket's own. */
  readonly netns: Netns | undefined
}

/**
 * Creates the link in its namespace, under its final name, with its MAC, in one message, and leaves it down: what
 * must be set before it is up (sysctls) comes next. Never IFLA_LINK_NETNSID: older kernels would create and then move.
 */
function createChild(
  socket: NetlinkSocket,
  kind: string,
  spec: ChildSpec & { readonly mac?: string | undefined },
  fill: (data: Message) => void,
): void {
  const message = new Message(RTM_NEWLINK, netlinkFlags.create)
    .fixed(ifinfomsg(spec.index))
    .text(IFLA.IFNAME, spec.name)
    .u32(IFLA.LINK, spec.parentIndex)
  if (spec.mac !== undefined) message.attribute(IFLA.ADDRESS, macBytes(spec.mac))
  if (spec.netns !== undefined) message.u32(IFLA.NET_NS_FD, spec.netns.fd)
  if (spec.mtuBytes !== undefined) message.u32(IFLA.MTU, spec.mtuBytes)
  message.nested(IFLA.LINKINFO, (info) => info.text(IFLA_INFO.KIND, kind).nested(IFLA_INFO.DATA, fill))
  socket.request(`create ${kind} "${spec.name}"`, message)
}

interface MacvlanSpec extends ChildSpec {
  readonly mode: MacvlanMode
  readonly mac: string
  /** IFLA_MACVLAN_BC_QUEUE_LEN; undefined: the kernel's default. */
  readonly broadcastQueueLength: number | undefined
}

/** Throws SystemError. */
export function createMacvlan(socket: NetlinkSocket, spec: MacvlanSpec): void {
  createChild(socket, 'macvlan', spec, (data) => {
    data.u32(IFLA_MACVLAN.MODE, macvlanModes[spec.mode])
    if (spec.broadcastQueueLength !== undefined) data.u32(IFLA_MACVLAN.BC_QUEUE_LEN, spec.broadcastQueueLength)
  })
}

/** Throws SystemError. It has its master's MAC; its mode becomes that of all ipvlans of the master. */
export function createIpvlan(socket: NetlinkSocket, spec: ChildSpec, mode: IpvlanMode): void {
  createChild(socket, 'ipvlan', spec, (data) => data.u16(IFLA_IPVLAN.MODE, ipvlanModes[mode]))
}

interface VlanSpec extends Omit<ChildSpec, 'mtuBytes' | 'netns'> {
  /** Undefined: its parent's, now and whenever that gets another one. */
  readonly mac: string | undefined
}

/** Throws SystemError. It has its parent's MTU, and is in its namespace. */
export function createVlan(socket: NetlinkSocket, spec: VlanSpec, id: number): void {
  createChild(socket, 'vlan', { ...spec, mtuBytes: undefined, netns: undefined }, (data) => data.u16(IFLA_VLAN.ID, id))
}

/** VETH_INFO_PEER of linux/veth.h. */
const vethPeer = 1

/** Creates a pair of links that are each other's wire. */
export function createVeth(socket: NetlinkSocket, name: string, peerName: string): void {
  const message = new Message(RTM_NEWLINK, netlinkFlags.create).fixed(ifinfomsg(0)).text(IFLA.IFNAME, name)
  message.nested(IFLA.LINKINFO, (info) => {
    info.text(IFLA_INFO.KIND, 'veth').nested(IFLA_INFO.DATA, (data) => {
      data.nested(vethPeer, (peer) => peer.fixed(ifinfomsg(0)).text(IFLA.IFNAME, peerName))
    })
  })
  socket.request(`create veth "${name}"`, message)
}
