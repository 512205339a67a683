/**
 * The Ethernet frames of a probe: the question whether an address is in use, and what counts as an answer. Pure.
 *
 * IPv4 asks with an ARP probe (RFC 5227 section 2.1.1), IPv6 with a neighbour solicitation from the unspecified address
 * (RFC 4862 section 5.4.2, layout in RFC 4861 section 4.3). What is read comes from pods and other strangers.
 */
import { type Ip, ipBytes, ipFromBytes } from '../address.ts'
import { formatMac } from './links.ts'

/** Ethernet protocol numbers (linux/if_ether.h); ALL is the kernel's own, for a socket that hears both. */
export const etherType = { ALL: 0x0003, ARP: 0x0806, IPV6: 0x86dd } as const

const etherBytes = 14
const arpBytes = 28
const ipv6Bytes = 40
const solicitationBytes = 24
const ICMPV6 = 58
const SOLICITATION = 135
const ADVERTISEMENT = 136
const REQUEST = 1
const REPLY = 2
/** What neighbour discovery is sent with: a router on the way would have counted it down (RFC 4861 section 7.1). */
const ownHopLimit = 255

/** Hardware type Ethernet, protocol type IPv4, lengths of their addresses: how every ARP packet begins that matters here. */
const arpHead = Buffer.from([0, 1, 8, 0, 6, 4])
const broadcast = Buffer.alloc(6, 0xff)
const allNodes = Buffer.from('333300000001', 'hex')
/** ff02::1. */
const allNodesAddress = Buffer.from('ff020000000000000000000000000001', 'hex')

/** ff02::1:ffxx:xxxx, the xx being the end of the address (RFC 4291 section 2.7.1). */
const solicitedNode = (ip: Ip): Uint8Array =>
  ipBytes({ family: 6, value: (0xff02n << 112n) | (0x1ffn << 24n) | (ip.value & 0xffffffn) })

/** The MAC that frames to a multicast address go to (RFC 2464 section 7). */
const multicastMac = (group: Uint8Array): Uint8Array => Buffer.concat([Buffer.from([0x33, 0x33]), group.subarray(12)])

/** The multicast MACs at which answers to probes of these addresses arrive, and other nodes' probes for the same. */
export function answerGroups(ips: readonly Ip[]): Uint8Array[] {
  const groups = ips.filter(({ family }) => family === 6).map((ip) => multicastMac(solicitedNode(ip)))
  return groups.length === 0 ? [] : [allNodes, ...groups]
}

/** The Internet checksum of an ICMPv6 message and its pseudo-header (RFC 4443 section 2.3); 0 when the message has it. */
function checksum(sourceAndDestination: Uint8Array, message: Uint8Array): number {
  let sum = message.length + ICMPV6
  for (const bytes of [sourceAndDestination, message]) {
    for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

function ethernet(destination: Uint8Array, source: Uint8Array, type: number): Buffer {
  return Buffer.concat([destination, source, Buffer.from([type >> 8, type & 0xff])])
}

function arpProbe(mac: Uint8Array, ip: Ip): Buffer {
  // Sender protocol address 0: it must not enter anybody's ARP cache. The target's hardware address is what is asked for.
  const addresses = [mac, Buffer.alloc(4), Buffer.alloc(6), ipBytes(ip)]
  return Buffer.concat([ethernet(broadcast, mac, etherType.ARP), arpHead, Buffer.from([0, REQUEST]), ...addresses])
}

/** RFC 5227 section 3: a request for the address that is already one's own. */
function arpAnnouncement(mac: Uint8Array, ip: Ip): Buffer {
  const addresses = [mac, ipBytes(ip), Buffer.alloc(6), ipBytes(ip)]
  return Buffer.concat([ethernet(broadcast, mac, etherType.ARP), arpHead, Buffer.from([0, REQUEST]), ...addresses])
}

/** An unsolicited advertisement to all nodes, which takes the place of what they know (RFC 4861 sections 4.4 and 7.2.6). */
function neighbourAdvertisement(mac: Uint8Array, ip: Ip): Buffer {
  const override = 0x20
  const targetMac = Buffer.concat([Buffer.from([2, 1]), mac])
  const head = Buffer.from([ADVERTISEMENT, 0, 0, 0, override, 0, 0, 0])
  const message = Buffer.concat([head, ipBytes(ip), targetMac])
  const header = Buffer.alloc(ipv6Bytes)
  header[0] = 0x60
  header.writeUInt16BE(message.length, 4)
  header[6] = ICMPV6
  header[7] = ownHopLimit
  header.set(ipBytes(ip), 8)
  header.set(allNodesAddress, 24)
  message.writeUInt16BE(checksum(header.subarray(8), message), 2)
  return Buffer.concat([ethernet(allNodes, mac, etherType.IPV6), header, message])
}

/** The frame that tells everybody on the wire who has the address now. */
export const announcementFrame = (mac: Uint8Array, ip: Ip): Buffer =>
  ip.family === 4 ? arpAnnouncement(mac, ip) : neighbourAdvertisement(mac, ip)

function neighbourSolicitation(mac: Uint8Array, ip: Ip): Buffer {
  const message = Buffer.concat([Buffer.from([SOLICITATION, 0, 0, 0, 0, 0, 0, 0]), ipBytes(ip)])
  const header = Buffer.alloc(ipv6Bytes)
  header[0] = 0x60
  header.writeUInt16BE(message.length, 4)
  header[6] = ICMPV6
  header[7] = ownHopLimit
  // From ::, and so without the option that says the source's MAC.
  const group = solicitedNode(ip)
  header.set(group, 24)
  message.writeUInt16BE(checksum(header.subarray(8), message), 2)
  return Buffer.concat([ethernet(multicastMac(group), mac, etherType.IPV6), header, message])
}

/** The frame that asks from a link with this MAC who has the address. */
export const probeFrame = (mac: Uint8Array, ip: Ip): Buffer =>
  ip.family === 4 ? arpProbe(mac, ip) : neighbourSolicitation(mac, ip)

/** Somebody's word that the address is, or is about to be, its own; `mac` in colon notation. */
export interface Conflict {
  readonly ip: Ip
  readonly mac: string
}

/** Reads a frame as such a word; undefined when it is anything else, or malformed. */
export function readConflict(frame: Buffer): Conflict | undefined {
  if (frame.length < etherBytes) return undefined
  const type = frame.readUInt16BE(12)
  const packet = frame.subarray(etherBytes)
  if (type === etherType.ARP) return readArp(packet)
  if (type !== etherType.IPV6) return undefined
  const ip = readNeighbourDiscovery(packet)
  // The sender's MAC and not the option in the message: an answer may come without one.
  return ip === undefined ? undefined : { ip, mac: formatMac(frame.subarray(6, 12)) }
}

function readArp(packet: Buffer): Conflict | undefined {
  if (packet.length < arpBytes || !packet.subarray(0, arpHead.length).equals(arpHead)) return undefined
  const operation = packet.readUInt16BE(6)
  if (operation !== REQUEST && operation !== REPLY) return undefined
  const mac = formatMac(packet.subarray(8, 14))
  // From 0.0.0.0 it is a probe like ours, for the target; otherwise the sender has the address it speaks from.
  if (packet.readUInt32BE(14) !== 0) return { ip: ipFromBytes(packet.subarray(14, 18)), mac }
  return operation === REQUEST ? { ip: ipFromBytes(packet.subarray(24, 28)), mac } : undefined
}

/** The target of an advertisement, or of another node's detection of duplicates, that RFC 4861 section 7.1 calls valid. */
function readNeighbourDiscovery(packet: Buffer): Ip | undefined {
  if (packet.length < ipv6Bytes + solicitationBytes) return undefined
  const [version = 0, nextHeader, hopLimit] = [packet[0], packet[6], packet[7]]
  if (version >> 4 !== 6 || nextHeader !== ICMPV6 || hopLimit !== ownHopLimit) return undefined
  // By the length in the header: Ethernet pads short frames.
  const length = packet.readUInt16BE(4)
  if (length < solicitationBytes || length > packet.length - ipv6Bytes) return undefined
  const message = packet.subarray(ipv6Bytes, ipv6Bytes + length)
  const [type, code] = message
  if (code !== 0 || (type !== SOLICITATION && type !== ADVERTISEMENT)) return undefined
  // A solicitation from an address only looks for the target.
  if (type === SOLICITATION && packet.subarray(8, 24).some((byte) => byte !== 0)) return undefined
  if (!optionsAreWhole(message) || checksum(packet.subarray(8, ipv6Bytes), message) !== 0) return undefined
  return ipFromBytes(message.subarray(8, solicitationBytes))
}

/** Options say their length in units of eight bytes; with one of zero the whole message is void. */
function optionsAreWhole(message: Buffer): boolean {
  let at = solicitationBytes
  while (at < message.length) {
    const length = (message[at + 1] ?? 0) * 8
    if (length === 0) return false
    at += length
  }
  return at === message.length
}
