/** Neighbours over rtnetlink (linux/neighbour.h): which MAC an address of a link is at, told instead of asked for. */
import { formatIp, type Ip, ipBytes, ipFromBytes } from '../address.ts'
import { formatMac, macBytes } from './links.ts'
import { addressFamily, Message, type NetlinkSocket, netlinkFlags, readAttributes, type Step } from './netlink.ts'

const RTM_NEWNEIGH = 28
const RTM_DELNEIGH = 29
const RTM_GETNEIGH = 30
const NDA = { DST: 1, LLADDR: 2, IFINDEX: 8 } as const
/** Stays until somebody removes it, and nobody is ever asked (linux/neighbour.h). */
const NUD_PERMANENT = 0x80
const ndmsgBytes = 12

/** An address and where it is; `mac` in lower case with colons. */
export interface Neighbour {
  readonly ip: Ip
  readonly mac: string
}

function ndmsg(linkIndex: number, ip: Ip | undefined, state: number): Buffer {
  const fixed = Buffer.alloc(ndmsgBytes)
  fixed[0] = ip === undefined ? 0 : addressFamily(ip.family)
  fixed.writeInt32LE(linkIndex, 4)
  fixed.writeUInt16LE(state, 8)
  return fixed
}

/** Tells the link for good where an address is, whatever it has been told before. */
export function setNeighbour(linkIndex: number, { ip, mac }: Neighbour): Step {
  const message = new Message(RTM_NEWNEIGH, netlinkFlags.replace)
    .fixed(ndmsg(linkIndex, ip, NUD_PERMANENT))
    .attribute(NDA.DST, ipBytes(ip))
    .attribute(NDA.LLADDR, macBytes(mac))
  return { what: `set neighbour "${formatIp(ip)}"`, message }
}

/** Removes what the link was told of an address, if it was. */
export function removeNeighbour(linkIndex: number, ip: Ip): Step {
  const message = new Message(RTM_DELNEIGH).fixed(ndmsg(linkIndex, ip, 0)).attribute(NDA.DST, ipBytes(ip))
  return { what: `remove neighbour "${formatIp(ip)}"`, message, allowed: ['ENOENT'] }
}

/** What a link was told for good, both families. */
export function listNeighbours(socket: NetlinkSocket, linkIndex: number): Neighbour[] {
  const message = new Message(RTM_GETNEIGH, netlinkFlags.dump).fixed(ndmsg(0, undefined, 0)).u32(NDA.IFINDEX, linkIndex)
  return socket
    .request('list neighbours', message)
    .filter(({ type, body }) => type === RTM_NEWNEIGH && body.readInt32LE(4) === linkIndex)
    .filter(({ body }) => body.readUInt16LE(8) === NUD_PERMANENT)
    .flatMap(({ body }) => {
      const attributes = readAttributes(body, ndmsgBytes)
      const [ip, mac] = [attributes.get(NDA.DST), attributes.get(NDA.LLADDR)]
      return ip === undefined || mac === undefined ? [] : [{ ip: ipFromBytes(ip), mac: formatMac(mac) }]
    })
}
