/** Addresses of a link over rtnetlink (linux/if_addr.h). */
import { type Cidr, cidrSpan, formatCidr, ipBytes, ipFromBytes } from '../address.ts'
import { addressFamily, Message, type NetlinkSocket, netlinkFlags, readAttributes, type Step } from './netlink.ts'

const RTM_NEWADDR = 20
const RTM_GETADDR = 22
const IFA_ADDRESS = 1
const IFA_LOCAL = 2
const IFA_BROADCAST = 4
const IFA_F_NODAD = 2
const ifaddrmsgBytes = 8

/**
 * Gives the link an address. An IPv6 address is usable at once (IFA_F_NODAD): that nobody else has it is for the IPAM to
 * know, and duplicate address detection would hold the pod back for one to two seconds.
 */
export function addAddress(linkIndex: number, cidr: Cidr): Step {
  const fixed = Buffer.alloc(ifaddrmsgBytes)
  fixed[0] = addressFamily(cidr.ip.family)
  fixed[1] = cidr.prefix
  fixed[2] = cidr.ip.family === 6 ? IFA_F_NODAD : 0
  fixed.writeUInt32LE(linkIndex, 4)
  const message = new Message(RTM_NEWADDR, netlinkFlags.create).fixed(fixed)
  message.attribute(IFA_LOCAL, ipBytes(cidr.ip)).attribute(IFA_ADDRESS, ipBytes(cidr.ip))
  // A /31 and a /32 have no broadcast address (RFC 3021).
  if (cidr.ip.family === 4 && cidr.prefix < 31) {
    message.attribute(IFA_BROADCAST, ipBytes({ family: 4, value: cidrSpan(cidr).last }))
  }
  return { what: `add address "${formatCidr(cidr)}"`, message }
}

/** All addresses of a link, or of all links, both families. */
export function listAddresses(socket: NetlinkSocket, linkIndex?: number): Cidr[] {
  const fixed = Buffer.alloc(ifaddrmsgBytes)
  return socket
    .request('list addresses', new Message(RTM_GETADDR, netlinkFlags.dump).fixed(fixed))
    .filter(({ type, body }) => type === RTM_NEWADDR && (linkIndex ?? body.readUInt32LE(4)) === body.readUInt32LE(4))
    .flatMap(({ body }) => {
      const attributes = readAttributes(body, ifaddrmsgBytes)
      const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS)
      return bytes === undefined ? [] : [{ ip: ipFromBytes(bytes), prefix: body[1] ?? 0 }]
    })
}
