/** Links over rtnetlink: finding, listing, setting up, removing (linux/if_link.h, rtnetlink(7)). */
import { SystemError } from './libc.ts'
import { type Answer, Message, type NetlinkSocket, netlinkFlags, readAttributes, type Step } from './netlink.ts'

export const RTM_NEWLINK = 16
const RTM_DELLINK = 17
export const RTM_GETLINK = 18
export const IFF_UP = 1
const IFF_LOWER_UP = 0x10000

export const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  LINKINFO: 18,
  NET_NS_FD: 28,
  EXT_MASK: 29,
  LINK_NETNSID: 37,
  PERM_ADDRESS: 54,
} as const
export const IFLA_INFO = { KIND: 1, DATA: 2 } as const
export const IFLA_MACVLAN = { MODE: 1, BC_QUEUE_LEN: 7 } as const
export const IFLA_IPVLAN = { MODE: 1 } as const
export const IFLA_VLAN = { ID: 1, PROTOCOL: 5 } as const
/** ETH_P_8021Q of linux/if_ether.h, as the kernel writes it: the first byte is the higher one. */
const protocol8021Q = 0x8100
/** Leaves the statistics out of an answer; nobody here reads them (linux/rtnetlink.h). */
export const RTEXT_FILTER_SKIP_STATS = 8

/** The kernel's numbers of the macvlan modes (enum macvlan_mode). */
export const macvlanModes = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const
export type MacvlanMode = keyof typeof macvlanModes

/** The kernel's numbers of the ipvlan modes (enum ipvlan_mode). */
export const ipvlanModes = { l2: 0, l3: 1, l3s: 2 } as const
export type IpvlanMode = keyof typeof ipvlanModes

export const ifinfomsgBytes = 16

/** A link as the kernel describes it; `mtuBytes`, `mac` in colon notation, `parentIndex` 0 when it has none. */
export interface Link {
  readonly index: number
  readonly name: string
  readonly mac: string
  /** That a NIC was built with, or an emulated one made with; undefined of a link that has none. */
  readonly permanentMac: string | undefined
  readonly mtuBytes: number
  readonly up: boolean
  /** Something is at the other end of the cable; a macvlan has its parent's. */
  readonly carrier: boolean
  readonly kind: string
  readonly parentIndex: number
  /** Of the bond, bridge or switch that it is a port of; 0 when it is of none. */
  readonly masterIndex: number
  /** The parent is in another namespace, where its index is another link's here. */
  readonly parentElsewhere: boolean
  readonly macvlanMode: MacvlanMode | undefined
  /** That of all ipvlans of its master: the kernel has one for them together. */
  readonly ipvlanMode: IpvlanMode | undefined
  /** Of a VLAN link after IEEE 802.1Q. */
  readonly vlanId: number | undefined
}

export function ifinfomsg(index: number, flags = 0, change = 0): Buffer {
  const bytes = Buffer.alloc(ifinfomsgBytes)
  bytes.writeInt32LE(index, 4)
  bytes.writeUInt32LE(flags, 8)
  bytes.writeUInt32LE(change, 12)
  return bytes
}

export const macBytes = (mac: string): Uint8Array =>
  Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16))

export const formatMac = (bytes: Uint8Array): string =>
  [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':')

export const cString = (bytes: Buffer | undefined): string => bytes?.toString('utf8').replace(/\0.*$/s, '') ?? ''
const number = (bytes: Buffer | undefined): number =>
  bytes === undefined || bytes.length < 4 ? 0 : bytes.readUInt32LE(0)

export function readLink(answer: Answer): Link {
  const attributes = readAttributes(answer.body, ifinfomsgBytes)
  const info = readAttributes(attributes.get(IFLA.LINKINFO) ?? Buffer.alloc(0), 0)
  const data = readAttributes(info.get(IFLA_INFO.DATA) ?? Buffer.alloc(0), 0)
  const permanent = attributes.get(IFLA.PERM_ADDRESS)
  const kind = cString(info.get(IFLA_INFO.KIND))
  return {
    index: answer.body.readInt32LE(4),
    name: cString(attributes.get(IFLA.IFNAME)),
    mac: formatMac(attributes.get(IFLA.ADDRESS) ?? Buffer.alloc(0)),
    permanentMac: permanent && formatMac(permanent),
    mtuBytes: number(attributes.get(IFLA.MTU)),
    up: (answer.body.readUInt32LE(8) & IFF_UP) !== 0,
    carrier: (answer.body.readUInt32LE(8) & IFF_LOWER_UP) !== 0,
    kind,
    parentIndex: number(attributes.get(IFLA.LINK)),
    masterIndex: number(attributes.get(IFLA.MASTER)),
    parentElsewhere: attributes.has(IFLA.LINK_NETNSID),
    macvlanMode: kind === 'macvlan' ? nameOf(macvlanModes, number(data.get(IFLA_MACVLAN.MODE))) : undefined,
    ipvlanMode: kind === 'ipvlan' ? nameOf(ipvlanModes, data.get(IFLA_IPVLAN.MODE)?.readUInt16LE(0)) : undefined,
    vlanId: kind === 'vlan' ? vlanIdOf(data) : undefined,
  }
}

const nameOf = <Name extends string>(numbers: Readonly<Record<Name, number>>, wanted?: number): Name | undefined =>
  (Object.keys(numbers) as Name[]).find((name) => numbers[name] === wanted)

const vlanIdOf = (data: Map<number, Buffer>): number | undefined =>
  data.get(IFLA_VLAN.PROTOCOL)?.readUInt16BE(0) === protocol8021Q ? data.get(IFLA_VLAN.ID)?.readUInt16LE(0) : undefined

type WantedLink = { name: string } | { index: number }

const question = 'look up link'

function lookUpMessage(wanted: WantedLink): Message {
  const message = new Message(RTM_GETLINK).fixed(ifinfomsg('index' in wanted ? wanted.index : 0))
  if ('name' in wanted) message.text(IFLA.IFNAME, wanted.name)
  return message.u32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS)
}

/** Asks for a link in a batch with other questions; `linksOf` its answers. */
export const lookUpLink = (wanted: WantedLink): Step => ({ what: question, message: lookUpMessage(wanted) })

export const linksOf = (answers: readonly Answer[]): Link[] =>
  answers.filter(({ type }) => type === RTM_NEWLINK).map(readLink)

/** Whether the kernel says that there is no such link. A name too long for it (ERANGE, EINVAL by version) names none either. */
export const saysNoLink = (error: unknown): boolean =>
  error instanceof SystemError && ['ENODEV', 'ERANGE', 'EINVAL'].includes(error.code)

/** The link with this name or index, or undefined. */
export function findLink(socket: NetlinkSocket, wanted: WantedLink): Link | undefined {
  try {
    return readLink(socket.ask(question, lookUpMessage(wanted)))
  } catch (error) {
    if (saysNoLink(error)) return undefined
    throw error
  }
}

/** All links of the socket's namespace. */
export const listLinks = (socket: NetlinkSocket): Link[] =>
  socket
    .request(
      'list links',
      new Message(RTM_GETLINK, netlinkFlags.dump).fixed(ifinfomsg(0)).u32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS),
    )
    .filter(({ type }) => type === RTM_NEWLINK)
    .map(readLink)

export const setLinkUp = (index: number): Step => ({
  what: `set link ${index} up`,
  message: new Message(RTM_NEWLINK).fixed(ifinfomsg(index, IFF_UP, IFF_UP)),
})

export const setLinkDown = (index: number): Step => ({
  what: `set link ${index} down`,
  message: new Message(RTM_NEWLINK).fixed(ifinfomsg(index, 0, IFF_UP)),
})

/** Gives a link that is down another MAC. */
export function setLinkMac(socket: NetlinkSocket, index: number, mac: string): void {
  const message = new Message(RTM_NEWLINK).fixed(ifinfomsg(index)).attribute(IFLA.ADDRESS, macBytes(mac))
  socket.request(`set MAC of link ${index}`, message)
}

export const deleteLinkMessage = (index: number): Message => new Message(RTM_DELLINK).fixed(ifinfomsg(index))

/** The index of the link that the kernel says is gone; undefined for an answer about something else. */
export const deletedIndex = ({ type, body }: Answer): number | undefined =>
  type === RTM_DELLINK ? body.readInt32LE(4) : undefined

/** Removes a link; false when there was none with that index. Waits for the kernel's RCU: 16-24 ms. */
export function deleteLink(socket: NetlinkSocket, index: number): boolean {
  try {
    socket.request('remove link', deleteLinkMessage(index))
    return true
  } catch (error) {
    if (error instanceof SystemError && error.code === 'ENODEV') return false
    throw error
  }
}
