import { describe, expect, it } from 'vitest'
import { formatIp } from '../../../shared/address.ts'
import { announcementFrame, answerGroups, probeFrame, readConflict } from '../../../shared/host/frames.ts'
import { macBytes } from '../../../shared/host/links.ts'
import { ip } from '../addresses.ts'
import { advertisement, arp, solicitation } from './wire.ts'

const own = '02:00:00:00:00:01'
const other = '02:00:00:00:00:02'
const v4 = '10.0.0.7'
const v6 = 'fd00::12:3456'

const read = (frame: Buffer): [string, string] | undefined => {
  const conflict = readConflict(frame)
  return conflict && [formatIp(conflict.ip), conflict.mac]
}

/** The frame with bytes from `at` on replaced. */
function changed(frame: Buffer, at: number, hex: string): Buffer {
  const copy = Buffer.from(frame)
  copy.set(Buffer.from(hex, 'hex'), at)
  return copy
}

describe('probeFrame()', () => {
  it('asks for an IPv4 address as RFC 5227 section 2.1.1 says', () => {
    expect(probeFrame(macBytes(own), ip(v4)).toString('hex')).toBe(
      [
        'ffffffffffff 020000000001 0806', // to everybody, from the link, ARP
        '0001 0800 06 04 0001', // Ethernet, IPv4, their lengths, request
        '020000000001 00000000', // sender: the link, no address yet
        '000000000000 0a000007', // target: asked for
      ]
        .join('')
        .replaceAll(' ', ''),
    )
  })

  it('asks for an IPv6 address as RFC 4862 section 5.4.2 says', () => {
    expect(probeFrame(macBytes(own), ip(v6)).toString('hex')).toBe(
      [
        '3333ff123456 020000000001 86dd', // to the solicited-node address, from the link, IPv6
        '60000000 0018 3a ff', // 24 bytes of ICMPv6, hop limit 255
        '00000000000000000000000000000000', // from nobody yet
        'ff0200000000000000000001ff123456', // to the solicited-node address
        // Worked out by hand: 3a + 18 + ff02 + 1 + ff12 + 3456 + 8700 + fd00 + 12 + 3456 = 3eb25, folded eb28, inverted.
        '87 00 14d7 00000000',
        'fd000000000000000000000000123456',
      ]
        .join('')
        .replaceAll(' ', ''),
    )
  })
})

describe('announcementFrame()', () => {
  it('says whose an IPv4 address is as RFC 5227 section 3 has it', () => {
    expect(announcementFrame(macBytes(own), ip(v4)).toString('hex')).toBe(
      ['ffffffffffff0200000000010806', '0001080006040001', '0200000000010a000007', '0000000000000a000007'].join(''),
    )
  })

  it('says whose an IPv6 address is as RFC 4861 section 7.2.6 has it, with a checksum that holds', () => {
    const frame = announcementFrame(macBytes(own), ip(v6))
    expect(frame.subarray(0, 22).toString('hex')).toBe('333300000001020000000001' + '86dd' + '6000000000203aff')
    expect(frame.subarray(22, 54).toString('hex')).toBe(
      'fd000000000000000000000000123456' + 'ff020000000000000000000000000001',
    )
    expect(frame.subarray(54, 56).toString('hex')).toBe('8800')
    expect(frame.subarray(58).toString('hex')).toBe(
      '20000000' + 'fd000000000000000000000000123456' + '0201020000000001',
    )
    // Whoever takes it in reads it as a word about the address, and reads none with a wrong checksum.
    expect(read(frame)).toEqual([v6, own])
    expect(read(announcementFrame(macBytes(own), ip(v4)))).toEqual([v4, own])
  })
})

describe('answerGroups()', () => {
  it('has the all-nodes group and one of each IPv6 address, and nothing for IPv4', () => {
    const groups = answerGroups([ip(v4), ip(v6), ip('fd00::ff')]).map((group) => Buffer.from(group).toString('hex'))
    expect(groups).toEqual(['333300000001', '3333ff123456', '3333ff0000ff'])
    expect(answerGroups([ip(v4)])).toEqual([])
  })
})

describe('readConflict()', () => {
  it.each<[string, Buffer, string]>([
    ['an ARP reply', arp({ operation: 2, from: other, sender: v4, target: '0.0.0.0' }), v4],
    ['an ARP request of the owner', arp({ operation: 1, from: other, sender: v4, target: '10.0.0.9' }), v4],
    ['an ARP announcement', arp({ operation: 1, from: other, sender: v4, target: v4 }), v4],
    ["another host's ARP probe", arp({ operation: 1, from: other, sender: '0.0.0.0', target: v4 }), v4],
    ['a neighbour advertisement', advertisement({ from: other, target: v6 }), v6],
    ['an advertisement without its option', advertisement({ from: other, target: v6, option: '' }), v6],
    ["another node's detection of duplicates", solicitation({ from: other, source: '::', target: v6 }), v6],
    ['a frame that is padded', Buffer.concat([advertisement({ from: other, target: v6 }), Buffer.alloc(9, 7)]), v6],
  ])('takes %s for one', (_, frame, address) => {
    expect(read(frame)).toEqual([address, other])
  })

  const reply = arp({ operation: 2, from: other, sender: v4, target: '0.0.0.0' })
  const advertised = advertisement({ from: other, target: v6 })
  it.each<[string, Buffer]>([
    ['an ARP reply from nobody', changed(reply, 28, '00000000')],
    ['an ARP packet of an unknown operation', changed(reply, 20, '0003')],
    ['an ARP packet of another hardware', changed(reply, 14, '0006')],
    ['an ARP packet for another protocol', changed(reply, 16, '86dd')],
    ['an ARP packet with other lengths', changed(reply, 18, '0804')],
    ['ARP under another protocol number', changed(reply, 12, '0800')],
    ['an advertisement that went through a router', advertisement({ from: other, target: v6, hopLimit: 254 })],
    ['an advertisement with a wrong checksum', changed(advertised, 56, 'ffff')],
    ['an advertisement with a code', advertisement({ from: other, target: v6, code: 1 })],
    ['an advertisement with an empty option', advertisement({ from: other, target: v6, option: '0200000000000000' })],
    [
      'an advertisement with an option too long',
      advertisement({ from: other, target: v6, option: '0202000000000000' }),
    ],
    ['an advertisement with half an option', advertisement({ from: other, target: v6, option: '0201' })],
    ['a packet whose length is more than there is', changed(advertised, 18, '0030')],
    ['a packet whose length is less than a message', changed(advertised, 18, '0010')],
    ['a packet of another version', changed(advertised, 14, '40')],
    ['another protocol than ICMPv6', changed(advertised, 20, '11')],
    ['a router advertisement', advertisement({ from: other, target: v6, type: 134 })],
    ['somebody looking for the address', solicitation({ from: other, source: 'fe80::2', target: v6 })],
  ])('does not take %s for one', (_, frame) => {
    expect(read(frame)).toBeUndefined()
  })

  it.each([
    ['an ARP reply', reply],
    ['an advertisement', advertised],
  ])('skips %s cut at any place', (_, frame) => {
    for (let length = 0; length < frame.length; length++) expect(read(frame.subarray(0, length))).toBeUndefined()
    expect(read(frame)).toBeDefined()
  })
})
