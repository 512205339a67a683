/** Addresses of a link over rtnetlink (linux/if_addr.h). */
import { type Cidr, cidrSpan, formatCidr, ipBytes, ipFromBytes } from '../address.ts'
import {
  type Answer,
  addressFamily,
  Message,
  type NetlinkSocket,
  netlinkFlags,
  readAttributes,
  type Step,
} from './netlink.ts'

const RTM_NEWADDR = 20
const RTM_GETADDR = 22
const IFA_ADDRESS = 1
const IFA_LOCAL = 2
const IFA_BROADCAST = 4
const IFA_FLAGS = 8
/** The flags of linux/if_addr.h. */
const IFA_F = {
  TEMPORARY: 0x01,
  NODAD: 0x02,
  OPTIMISTIC: 0x04,
  DADFAILED: 0x08,
  DEPRECATED: 0x20,
  TENTATIVE: 0x40,
} as const
const RT_SCOPE_UNIVERSE = 0
const ifaddrmsgBytes = 8

/**
 * Whether the kernel looks for duplicates of an IPv6 address (RFC 4862 section 5.4), which takes it one to two seconds: `off` not at
 * all, `optimistic` while the address is used already (RFC 4429), `wait` before it may be used.
 */
type Detection = 'off' | 'optimistic' | 'wait'
const detectionFlags: Record<Detection, number> = { off: IFA_F.NODAD, optimistic: IFA_F.OPTIMISTIC, wait: 0 }

/** Gives the link an address. */
export function addAddress(linkIndex: number, cidr: Cidr, dad: Detection): Step {
  const fixed = Buffer.alloc(ifaddrmsgBytes)
  fixed[0] = addressFamily(cidr.ip.family)
  fixed[1] = cidr.prefix
  fixed[2] = cidr.ip.family === 6 ? detectionFlags[dad] : 0
  fixed.writeUInt32LE(linkIndex, 4)
  const message = new Message(RTM_NEWADDR, netlinkFlags.create).fixed(fixed)
  message.attribute(IFA_LOCAL, ipBytes(cidr.ip)).attribute(IFA_ADDRESS, ipBytes(cidr.ip))
  // A /31 and a /32 have no broadcast address (RFC 3021).
  if (cidr.ip.family === 4 && cidr.prefix < 31) {
    message.attribute(IFA_BROADCAST, ipBytes({ family: 4, value: cidrSpan(cidr).last }))
  }
  return { what: `add address "${formatCidr(cidr)}"`, message }
}

/** An address as the kernel lists it. */
export interface ListedAddress extends Cidr {
  /** The kernel is looking for duplicates of it. */
  readonly tentative: boolean
  /** It found one. */
  readonly duplicated: boolean
  readonly linkIndex: number
  /** Others may call it, and keep it in mind: global, in use, and none of those that change for privacy (RFC 8981). */
  readonly lasting: boolean
}

/** Asks for the addresses of all links, both families, in a batch with other questions; `addressesOf` its answers. */
export const lookUpAddresses = (): Step => ({
  what: 'list addresses',
  message: new Message(RTM_GETADDR, netlinkFlags.dump).fixed(Buffer.alloc(ifaddrmsgBytes)),
})

export const addressesOf = (answers: readonly Answer[]): ListedAddress[] =>
  answers
    .filter(({ type }) => type === RTM_NEWADDR)
    .flatMap(({ body }) => {
      const attributes = readAttributes(body, ifaddrmsgBytes)
      const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS)
      const flags = attributes.get(IFA_FLAGS)?.readUInt32LE(0) ?? body[2] ?? 0
      const [tentative, duplicated] = [(flags & IFA_F.TENTATIVE) !== 0, (flags & IFA_F.DADFAILED) !== 0]
      if (bytes === undefined) return []
      const ip = ipFromBytes(bytes)
      // The first flag says "secondary" of an IPv4 address, which lasts as others do.
      const passing = tentative || duplicated || (flags & (IFA_F.TEMPORARY | IFA_F.DEPRECATED)) !== 0
      const lasting = body[3] === RT_SCOPE_UNIVERSE && (ip.family === 4 || !passing)
      return [{ ip, prefix: body[1] ?? 0, tentative, duplicated, linkIndex: body.readUInt32LE(4), lasting }]
    })

/** All addresses of a link, or of all links, both families. */
export function listAddresses(socket: NetlinkSocket, linkIndex?: number): ListedAddress[] {
  const listed = addressesOf(socket.batch([lookUpAddresses()]))
  return linkIndex === undefined ? listed : listed.filter((one) => one.linkIndex === linkIndex)
}
