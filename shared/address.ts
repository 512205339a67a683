/**
 * IP addresses as numbers: parsing, RFC 5952 text, prefixes. Pure.
 *
 * Written here and not taken from a library because it stands on the hot path of every claim: the library we
 * compared needs 3 ms only to load, a tenth of a whole one-shot ADD (docs/decisions/003-addresses.md). The same
 * library is the oracle of the property test.
 */

export type Family = 4 | 6

/** An address; `value` is its 32 or 128 bits as an unsigned number, network byte order. */
export interface Ip {
  readonly family: Family
  readonly value: bigint
}

/** An address with the length of its network prefix in bits. Host bits may be set. */
export interface Cidr {
  readonly ip: Ip
  readonly prefix: number
}

/** An inclusive run of addresses of one family. */
export interface Span {
  readonly family: Family
  readonly first: bigint
  readonly last: bigint
}

export const familyBits = (family: Family): number => (family === 4 ? 32 : 128)

const [zero, nine, dot] = [48, 57, 46]

/** Letter by letter: it is read many times in every claim, and leaves nothing behind to collect. */
function parseV4(text: string): bigint | undefined {
  let [value, octet, digits, dots] = [0, 0, 0, 0]
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === dot && digits > 0 && dots < 3) {
      value = value * 256 + octet
      octet = 0
      digits = 0
      dots++
    } else if (code >= zero && code <= nine) {
      // Leading zeros are refused: some readers take them for octal, and then two programs mean different hosts.
      if (digits > 0 && octet === 0) return undefined
      octet = octet * 10 + code - zero
      digits++
      if (octet > 255) return undefined
    } else return undefined
  }
  return dots === 3 && digits > 0 ? BigInt(value * 256 + octet) : undefined
}

/** The 16-bit groups of one side of `::`; a dotted quad may stand for the last two (RFC 4291 section 2.2). */
function parseGroups(text: string): number[] | undefined {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (const [index, part] of parts.entries()) {
    if (index === parts.length - 1 && part.includes('.')) {
      const quad = parseV4(part)
      if (quad === undefined) return undefined
      groups.push(Number(quad >> 16n), Number(quad & 0xffffn))
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined
      groups.push(Number.parseInt(part, 16))
    }
  }
  return groups
}

function parseV6(text: string): bigint | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const head = parseGroups(halves[0] ?? '')
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '') : []
  if (head === undefined || tail === undefined) return undefined
  const missing = 8 - head.length - tail.length
  // "::" stands for at least one group; without it all eight must be there. A quad may only end the whole text.
  if (halves.length === 2 ? missing < 1 || (halves[0] ?? '').includes('.') : missing !== 0) return undefined
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail]
  return groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n)
}

/** Reads an IPv4 or IPv6 address; undefined when the text is not one (no prefix, no zone, no spaces). */
export function parseIp(text: string): Ip | undefined {
  const family: Family = text.includes(':') ? 6 : 4
  const value = family === 6 ? parseV6(text) : parseV4(text)
  return value === undefined ? undefined : { family, value }
}

/** Reads `address/prefix`; undefined when the text is not that. Host bits are kept. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/')
  if (slash < 0) return undefined
  const ip = parseIp(text.slice(0, slash))
  const length = text.slice(slash + 1)
  if (ip === undefined || !/^(0|[1-9][0-9]{0,2})$/.test(length)) return undefined
  const prefix = Number(length)
  return prefix <= familyBits(ip.family) ? { ip, prefix } : undefined
}

function formatV6(value: bigint): string {
  const groups: number[] = []
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(Number((value >> shift) & 0xffffn))
  // The longest run of at least two zero groups, the first of equals (RFC 5952 section 4.2).
  let runStart = -1
  let runLength = 1
  for (let start = 0; start < 8; start++) {
    let end = start
    while (end < 8 && groups[end] === 0) end++
    if (end - start > runLength) {
      runStart = start
      runLength = end - start
    }
  }
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(':')
  if (runStart < 0) return hex(groups)
  return `${hex(groups.slice(0, runStart))}::${hex(groups.slice(runStart + runLength))}`
}

/** The canonical text: dotted quad, or RFC 5952. */
export function formatIp(ip: Ip): string {
  if (ip.family === 6) return formatV6(ip.value)
  const value = Number(ip.value)
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`
}

export const formatCidr = (cidr: Cidr): string => `${formatIp(cidr.ip)}/${cidr.prefix}`

/** The address as the kernel takes it: 4 or 16 bytes, network byte order. */
export function ipBytes(ip: Ip): Uint8Array {
  const bytes = new Uint8Array(familyBits(ip.family) / 8)
  let rest = ip.value
  for (let index = bytes.length - 1; index >= 0; index--) {
    bytes[index] = Number(rest & 255n)
    rest >>= 8n
  }
  return bytes
}

/** The inverse of ipBytes. */
export function ipFromBytes(bytes: Uint8Array): Ip {
  let value = 0n
  for (const byte of bytes) value = (value << 8n) | BigInt(byte)
  return { family: bytes.length === 4 ? 4 : 6, value }
}

/** All addresses of a prefix, network and broadcast included. */
export function cidrSpan(cidr: Cidr): Span {
  const hostBits = BigInt(familyBits(cidr.ip.family) - cidr.prefix)
  const first = (cidr.ip.value >> hostBits) << hostBits
  return { family: cidr.ip.family, first, last: first + (1n << hostBits) - 1n }
}

/** The prefix with its host bits cleared, `10.0.0.7/24` -> `10.0.0.0/24`. */
export function cidrNetwork(cidr: Cidr): Cidr {
  return { ip: { family: cidr.ip.family, value: cidrSpan(cidr).first }, prefix: cidr.prefix }
}

export const spanContains = (span: Span, ip: Ip): boolean =>
  span.family === ip.family && span.first <= ip.value && ip.value <= span.last

export const sameIp = (a: Ip, b: Ip): boolean => a.family === b.family && a.value === b.value
