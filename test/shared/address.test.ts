import { describe, expect, it } from 'vitest'
import {
  cidrNetwork,
  cidrSpan,
  familyBits,
  formatCidr,
  formatIp,
  ipBytes,
  ipFromBytes,
  parseCidr,
  parseIp,
  sameIp,
  spanContains,
} from '../../shared/address.ts'
import { cidr, ip } from './addresses.ts'

describe('parseIp() of IPv4', () => {
  it.each<[string, bigint]>([
    ['0.0.0.0', 0n],
    ['0.0.0.1', 1n],
    ['10.0.0.1', 0x0a000001n],
    ['127.255.0.9', 0x7fff0009n],
    ['255.255.255.255', 0xffffffffn],
  ])('reads %s as a number', (text, value) => {
    expect(parseIp(text)).toEqual({ family: 4, value })
  })

  it.each([
    ['an empty text', ''],
    ['three parts', '10.0.0'],
    ['five parts', '10.0.0.1.2'],
    ['a whole number', '167772161'],
    ['an empty part', '10..0.1'],
    ['a dot at the end', '10.0.0.1.'],
    ['a dot at the start', '.10.0.0.1'],
    ['an octet of 256', '10.0.0.256'],
    ['an octet of four digits', '10.0.0.1000'],
    ['a leading zero', '010.0.0.1'],
    ['a zero written twice', '10.0.0.00'],
    ['hexadecimal', '0x0a.0.0.1'],
    ['a sign', '10.0.0.+1'],
    ['an exponent', '10.0.0.1e1'],
    ['a space before it', ' 10.0.0.1'],
    ['a space after it', '10.0.0.1 '],
    ['a newline after it', '10.0.0.1\n'],
    ['a prefix', '10.0.0.1/24'],
    ['digits of another script', '10.0.0.\u0663'],
    ['a host name', 'localhost'],
  ])('refuses %s', (_, text) => {
    expect(parseIp(text)).toBeUndefined()
  })
})

describe('parseIp() of IPv6', () => {
  it.each<[string, bigint]>([
    ['::', 0n],
    ['::1', 1n],
    ['1::', 1n << 112n],
    ['0:0:0:0:0:0:0:1', 1n],
    ['1:2:3:4:5:6:7:8', 0x00010002000300040005000600070008n],
    ['1:2:3:4:5:6:7::', 0x00010002000300040005000600070000n],
    ['::2:3:4:5:6:7:8', 0x00000002000300040005000600070008n],
    ['1::8', (1n << 112n) + 8n],
    ['fd00::00Ab', (0xfd00n << 112n) + 0xabn],
    ['FD00::AB', (0xfd00n << 112n) + 0xabn],
    ['::1.2.3.4', 0x01020304n],
    ['::ffff:1.2.3.4', 0xffff01020304n],
    ['64:ff9b::192.0.2.33', (0x64ff9bn << 96n) + 0xc0000221n],
    ['1:2:3:4:5:6:1.2.3.4', 0x00010002000300040005000601020304n],
    ['ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', (1n << 128n) - 1n],
  ])('reads %s as a number', (text, value) => {
    expect(parseIp(text)).toEqual({ family: 6, value })
  })

  it.each([
    ['one colon', ':'],
    ['three colons', ':::'],
    ['three colons inside', '1:::2'],
    ['two times "::"', '1::2::3'],
    ['seven groups', '1:2:3:4:5:6:7'],
    ['nine groups', '1:2:3:4:5:6:7:8:9'],
    ['"::" that stands for no group', '1:2:3:4::5:6:7:8'],
    ['"::" after eight groups', '1:2:3:4:5:6:7:8::'],
    ['a colon at the start', ':1:2:3:4:5:6:7:8'],
    ['a colon at the end', '1:2:3:4:5:6:7:8:'],
    ['a colon after "::1"', '::1:'],
    ['a group of five digits', '::00001'],
    ['a letter beyond f', '::g'],
    ['a sign', '::-1'],
    ['a quad before "::"', '1.2.3.4::'],
    ['a quad that is not last', '::1.2.3.4:5'],
    ['a quad at the start', '1.2.3.4:5::'],
    ['a quad of three parts', '::ffff:1.2.3'],
    ['a quad out of range', '::1.2.3.256'],
    ['a quad with a leading zero', '::01.2.3.4'],
    ['a quad that makes nine groups', '1:2:3:4:5:6:7:1.2.3.4'],
    ['a quad that makes seven groups', '1:2:3:4:5:1.2.3.4'],
    ['a zone', 'fe80::1%eth0'],
    ['a prefix', '::1/64'],
    ['brackets', '[::1]'],
    ['a space', '::1 '],
    ['a newline', '::1\n'],
  ])('refuses %s', (_, text) => {
    expect(parseIp(text)).toBeUndefined()
  })
})

describe('formatIp()', () => {
  it.each([
    // RFC 5952 section 4: no leading zeros, lower case, the longest run, the first of equals, never a run of one.
    ['2001:0db8::0001', '2001:db8::1'],
    ['2001:DB8::ABCD', '2001:db8::abcd'],
    ['2001:db8:0:0:0:0:2:1', '2001:db8::2:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['0:0:1:0:0:0:0:0', '0:0:1::'],
    ['0:0:0:0:1:0:0:0', '::1:0:0:0'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['1:2:3:4:5:6:7:0', '1:2:3:4:5:6:7:0'],
    ['0:2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
    ['1:2:3:4:5:6:0:0', '1:2:3:4:5:6::'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['::ffff:1.2.3.4', '::ffff:102:304'],
    ['0.0.0.0', '0.0.0.0'],
    ['128.0.0.1', '128.0.0.1'],
    ['255.255.255.255', '255.255.255.255'],
  ])('writes %s as %s', (text, canonical) => {
    expect(formatIp(ip(text))).toBe(canonical)
  })
})

describe('parseCidr()', () => {
  it.each<[string, string, number]>([
    ['10.0.0.7/24', '10.0.0.7', 24],
    ['0.0.0.0/0', '0.0.0.0', 0],
    ['10.0.0.7/32', '10.0.0.7', 32],
    ['fd00::7/64', 'fd00::7', 64],
    ['::/0', '::', 0],
    ['::ffff:1.2.3.4/128', '::ffff:102:304', 128],
  ])('reads %s, host bits kept', (text, address, prefix) => {
    const read = cidr(text)
    expect([formatIp(read.ip), read.prefix]).toEqual([address, prefix])
  })

  it.each([
    '',
    '/',
    '/24',
    '10.0.0.7',
    '10.0.0.7/',
    '10.0.0.7/33',
    '10.0.0.7/024',
    '10.0.0.7/00',
    '10.0.0.7/-1',
    '10.0.0.7/+8',
    '10.0.0.7/8.0',
    '10.0.0.7/255.255.255.0',
    '10.0.0.7/24/24',
    '10.0.0.7 /24',
    '10.0.0.7/24\n',
    'fd00::7/129',
    'fd00::7/1000',
    'fe80::1%eth0/64',
  ])('refuses %j', (text) => {
    expect(parseCidr(text)).toBeUndefined()
  })
})

describe('cidrSpan()', () => {
  it.each([
    ['10.1.2.3/24', '10.1.2.0', '10.1.2.255'],
    ['10.1.2.3/0', '0.0.0.0', '255.255.255.255'],
    ['10.1.2.3/31', '10.1.2.2', '10.1.2.3'],
    ['10.1.2.3/32', '10.1.2.3', '10.1.2.3'],
    ['200.1.2.3/1', '128.0.0.0', '255.255.255.255'],
    ['fd00::1:2/112', 'fd00::1:0', 'fd00::1:ffff'],
    ['fd00::1/0', '::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['fd00::1/127', 'fd00::', 'fd00::1'],
    ['fd00::1/128', 'fd00::1', 'fd00::1'],
  ])('gives the first and the last address of %s', (text, first, last) => {
    const { family } = cidr(text).ip
    expect(cidrSpan(cidr(text))).toEqual({ family, first: ip(first).value, last: ip(last).value })
  })
})

describe('cidrNetwork()', () => {
  it.each([
    ['10.1.2.3/24', '10.1.2.0/24'],
    ['10.1.2.0/24', '10.1.2.0/24'],
    ['10.1.2.3/32', '10.1.2.3/32'],
    ['10.1.2.3/0', '0.0.0.0/0'],
    ['fd00:1:2:3::4/48', 'fd00:1:2::/48'],
  ])('clears the host bits of %s', (text, network) => {
    expect(formatCidr(cidrNetwork(cidr(text)))).toBe(network)
  })
})

describe('spanContains()', () => {
  it.each<[string, boolean]>([
    ['10.1.1.255', false],
    ['10.1.2.0', true],
    ['10.1.2.77', true],
    ['10.1.2.255', true],
    ['10.1.3.0', false],
    ['::10.1.2.77', false],
  ])('asked whether 10.1.2.0/24 has %s says %s', (text, contained) => {
    expect(spanContains(cidrSpan(cidr('10.1.2.0/24')), ip(text))).toBe(contained)
  })
})

describe('sameIp()', () => {
  it('tells the families apart when the numbers are equal', () => {
    expect(sameIp(ip('0.0.0.1'), ip('::1'))).toBe(false)
    expect(sameIp(ip('::1'), ip('0:0::0:1'))).toBe(true)
    expect(sameIp(ip('::1'), ip('::2'))).toBe(false)
  })
})

describe('ipBytes()', () => {
  it.each<[string, number[]]>([
    ['10.0.255.1', [10, 0, 255, 1]],
    ['0.0.0.1', [0, 0, 0, 1]],
    ['fd00::102:ff', [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 255]],
    ['::', new Array<number>(16).fill(0)],
  ])('gives %s in network byte order, and ipFromBytes() reads it back', (text, bytes) => {
    const given = ipBytes(ip(text))
    expect([...given]).toEqual(bytes)
    expect(ipFromBytes(given)).toEqual(ip(text))
  })

  it('gives as many bytes as the family has', () => {
    const lengths = ['0.0.0.0', '::'].map((text) => ipBytes(ip(text)).length * 8)
    expect(lengths).toEqual([familyBits(4), familyBits(6)])
  })
})
