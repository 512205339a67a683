/**
 * Interfaces of hardware, which nobody can create where they are wanted: they are moved between namespaces, and take a new name, an
 * index, a MTU and flags along in the same message (linux/if_link.h). A move waits for the kernel's RCU, 16-60 ms: in a thread.
 */
import {
  cString,
  IFF_UP,
  IFLA,
  ifinfomsg,
  ifinfomsgBytes,
  type Link,
  macBytes,
  RTEXT_FILTER_SKIP_STATS,
  RTM_GETLINK,
  RTM_NEWLINK,
  readLink,
  saysNoLink,
} from './links.ts'
import { type Answer, Message, netlinkFlags, readAttributes } from './netlink.ts'
import type { Netns } from './netns.ts'
import { requestInThread } from './thread-request.ts'

const RTM_NEWLINKPROP = 108
const RTM_DELLINKPROP = 109
const IFF_PROMISC = 0x100
const IFF_ALLMULTI = 0x200
const NLA_F_NESTED = 0x8000
/** IFNAMSIZ of linux/if.h, without the zero at the end. */
const nameMaxBytes = 15
/** The namespace attribute since Linux 3.0, the index since 5.13, alternative names since 5.5, the device since 5.14. */
const IFLA_MORE = { NEW_IFINDEX: 49, PROP_LIST: 52, ALT_IFNAME: 53, PARENT_DEV_NAME: 56 } as const

export interface Netdev extends Link {
  readonly allMulticast: boolean
  readonly promiscuous: boolean
  readonly alternativeNames: readonly string[]
  /** The PCI address behind it; undefined where the kernel does not say. */
  readonly device: string | undefined
}

/** The texts of one type in a list of attributes, which may have many of them. */
function textsOf(list: Buffer, type: number): string[] {
  const texts: string[] = []
  for (let at = 0; at + 4 <= list.length; ) {
    const length = list.readUInt16LE(at)
    if (length < 4) break
    if ((list.readUInt16LE(at + 2) & 0x3fff) === type) texts.push(cString(list.subarray(at + 4, at + length)))
    at += (length + 3) & ~3
  }
  return texts
}

function readNetdev(answer: Answer): Netdev {
  const attributes = readAttributes(answer.body, ifinfomsgBytes)
  const flags = answer.body.readUInt32LE(8)
  return {
    ...readLink(answer),
    allMulticast: (flags & IFF_ALLMULTI) !== 0,
    promiscuous: (flags & IFF_PROMISC) !== 0,
    alternativeNames: textsOf(attributes.get(IFLA_MORE.PROP_LIST) ?? Buffer.alloc(0), IFLA_MORE.ALT_IFNAME),
    device: cString(attributes.get(IFLA_MORE.PARENT_DEV_NAME)) || undefined,
  }
}

/** The interface of that index, or the one that has the name or is also called so; undefined when there is none. */
export async function findNetdev(
  netns: Netns,
  wanted: { name: string } | { index: number },
): Promise<Netdev | undefined> {
  const message = new Message(RTM_GETLINK).fixed(ifinfomsg('index' in wanted ? wanted.index : 0))
  // An alternative name may be longer than a name; older kernels know only names.
  if ('name' in wanted) {
    message.text(Buffer.byteLength(wanted.name) > nameMaxBytes ? IFLA_MORE.ALT_IFNAME : IFLA.IFNAME, wanted.name)
  }
  message.u32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS)
  try {
    const [answer] = await requestInThread(netns, 'look up interface', message)
    return answer && readNetdev(answer)
  } catch (error) {
    if (saysNoLink(error)) return undefined
    throw error
  }
}

/** The interface of a PCI device, whatever it is called; undefined when the namespace has none, or the kernel does not say. */
export async function findNetdevOf(netns: Netns, pciAddress: string): Promise<Netdev | undefined> {
  const message = new Message(RTM_GETLINK, netlinkFlags.dump).fixed(ifinfomsg(0))
  message.u32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS)
  const answers = await requestInThread(netns, 'list interfaces', message)
  return answers
    .filter(({ type }) => type === RTM_NEWLINK)
    .map(readNetdev)
    .find(({ device }) => device === pciAddress)
}

/** What an interface shall be; undefined: as it is. */
export interface NetdevChange {
  readonly name?: string | undefined
  readonly mac?: string | undefined
  readonly mtuBytes?: number | undefined
  readonly up?: boolean | undefined
  readonly allMulticast?: boolean | undefined
  readonly promiscuous?: boolean | undefined
}

function changeMessage(index: number, { name, mac, mtuBytes, up, allMulticast, promiscuous }: NetdevChange): Message {
  const wanted: [number, boolean | undefined][] = [
    [IFF_UP, up],
    [IFF_ALLMULTI, allMulticast],
    [IFF_PROMISC, promiscuous],
  ]
  const flags = wanted.reduce((sum, [flag, on]) => sum | (on === true ? flag : 0), 0)
  const change = wanted.reduce((sum, [flag, on]) => sum | (on === undefined ? 0 : flag), 0)
  const message = new Message(RTM_NEWLINK).fixed(ifinfomsg(index, flags, change))
  if (name !== undefined) message.text(IFLA.IFNAME, name)
  if (mac !== undefined) message.attribute(IFLA.ADDRESS, macBytes(mac))
  if (mtuBytes !== undefined) message.u32(IFLA.MTU, mtuBytes)
  return message
}

/** Changes an interface where it is. Throws SystemError; then some of it may have been done. */
export async function changeNetdev(netns: Netns, index: number, change: NetdevChange): Promise<void> {
  await requestInThread(netns, `change interface ${index}`, changeMessage(index, change))
}

export interface Move {
  readonly from: Netns
  readonly index: number
  readonly to: Netns
  /** The index that it shall have there; kernels before 5.13 take no notice. */
  readonly newIndex?: number
}

/**
 * Moves an interface, and changes it there, in one message. The kernel moves it first, and then changes it: after an error it may be in
 * either namespace. EEXIST: its new name is taken there, or one of those that it brings along.
 */
export async function moveNetdev({ from, index, to, newIndex }: Move, change: NetdevChange): Promise<void> {
  const message = changeMessage(index, change).u32(IFLA.NET_NS_FD, to.fd)
  if (newIndex !== undefined) message.u32(IFLA_MORE.NEW_IFINDEX, newIndex)
  await requestInThread(from, `move interface ${index}`, message)
}

async function changeNames(netns: Netns, type: number, index: number, names: readonly string[]): Promise<void> {
  // The kernel is strict about this message: the list must say that it is one.
  const message = new Message(type).fixed(ifinfomsg(index)).nested(IFLA_MORE.PROP_LIST | NLA_F_NESTED, (list) => {
    for (const name of names) list.text(IFLA_MORE.ALT_IFNAME, name)
  })
  if (names.length > 0) await requestInThread(netns, 'change alternative names', message)
}

export const dropAlternativeNames = (netns: Netns, index: number, names: readonly string[]): Promise<void> =>
  changeNames(netns, RTM_DELLINKPROP, index, names)

/** Throws SystemError, EEXIST when one of them is taken. */
export const addAlternativeNames = (netns: Netns, index: number, names: readonly string[]): Promise<void> =>
  changeNames(netns, RTM_NEWLINKPROP, index, names)
