import { describe, expect, it } from 'vitest'
import { addAddress } from '../../../shared/host/addresses.ts'
import { Message, readAttributes, type Step } from '../../../shared/host/netlink.ts'
import { addRoute, type KernelRoute } from '../../../shared/host/routes.ts'
import { cidr, ip } from '../addresses.ts'

const hex = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString('hex')

/** The fixed part of a request of `fixedBytes`, and its attributes by type, in hexadecimal. */
function parts(
  { message }: Step,
  fixedBytes: number,
): { fixed: string | undefined; attributes: Record<number, string | undefined> } {
  const body = message.finish(1, true).subarray(16)
  const attributes = [...readAttributes(body, fixedBytes)].map(([type, value]) => [type, hex(value)] as const)
  return { fixed: hex(body.subarray(0, fixedBytes)), attributes: Object.fromEntries(attributes) }
}

describe('Message', () => {
  it('has a header that says its length, type, flags and number', () => {
    const bytes = new Message(16, 0x600).fixed(Buffer.alloc(16)).text(3, 'net1').finish(7, true)
    expect([bytes.readUInt32LE(0), bytes.length]).toEqual([16 + 16 + 12, 16 + 16 + 12])
    expect([bytes.readUInt16LE(4), bytes.readUInt16LE(6), bytes.readUInt32LE(8)]).toEqual([16, 0x605, 7])
    expect(new Message(16).finish(1, false).readUInt16LE(6)).toBe(1)
  })

  it('pads attributes to four bytes and gives their length without the padding', () => {
    const bytes = new Message(16).text(3, 'net1').u32(4, 1400).finish(1, false).subarray(16)
    expect(hex(bytes)).toBe('090003006e657431000000000800040078050000')
    expect(readAttributes(bytes, 0).get(3)?.toString()).toBe('net1\0')
  })

  it('nests attributes', () => {
    const message = new Message(16).nested(18, (info) => {
      info.text(1, 'macvlan').nested(2, (data) => void data.u32(1, 4))
    })
    const info = readAttributes(message.finish(1, false), 16).get(18)
    const data = readAttributes(info ?? Buffer.alloc(0), 0)
    expect(data.get(1)?.toString()).toBe('macvlan\0')
    expect(
      readAttributes(data.get(2) ?? Buffer.alloc(0), 0)
        .get(1)
        ?.readUInt32LE(0),
    ).toBe(4)
  })

  it('grows when it is long', () => {
    const message = new Message(16)
    for (let type = 1; type <= 100; type++) message.u32(type, type)
    const attributes = readAttributes(message.finish(1, false), 16)
    expect([...attributes].map(([type, value]) => [type, value.readUInt32LE(0)])).toEqual(
      Array.from({ length: 100 }, (_, index) => [index + 1, index + 1]),
    )
  })
})

describe('readAttributes()', () => {
  it.each([
    ['ends early', '0c000100aabbccdd'],
    ['is shorter than its header', '0300010000000000'],
    ['has length zero', '0000010000000000'],
    ['is cut inside its header', '0800'],
  ])('stops at an attribute that %s', (_, broken) => {
    const bytes = Buffer.from(`0800050001020304${broken}`, 'hex')
    expect([...readAttributes(bytes, 0)].map(([type, value]) => [type, hex(value)])).toEqual([[5, '01020304']])
  })

  it('ignores the flags in a type', () => {
    expect([...readAttributes(Buffer.from('04001280', 'hex'), 0).keys()]).toEqual([18])
  })
})

describe('addAddress()', () => {
  it.each([
    ['10.0.0.7/24', '0218000005000000', { 1: '0a000007', 2: '0a000007', 4: '0a0000ff' }],
    ['10.0.0.7/31', '021f000005000000', { 1: '0a000007', 2: '0a000007' }],
    ['10.0.0.7/32', '0220000005000000', { 1: '0a000007', 2: '0a000007' }],
    [
      'fd00::7/64',
      '0a40020005000000',
      { 1: 'fd000000000000000000000000000007', 2: 'fd000000000000000000000000000007' },
    ],
  ])(
    'asks for %s, with a broadcast where there is one and without detection of duplicates',
    (text, fixed, attributes) => {
      expect(parts(addAddress(5, cidr(text), 'off'), 8)).toEqual({ fixed, attributes })
    },
  )
})

describe('addRoute()', () => {
  const route = (destination: string, more: Partial<KernelRoute> = {}) =>
    parts(addRoute(5, { destination: cidr(destination), gateway: undefined, ...more }), 12)

  it.each<[string, ReturnType<typeof route>, string, Record<number, string>]>([
    [
      'a default route',
      route('0.0.0.0/0', { gateway: ip('10.0.0.1') }),
      '02000000fe03000100000000',
      { 4: '05000000', 5: '0a000001' },
    ],
    ['a route of the link', route('10.8.0.0/16'), '02100000fe03fd0100000000', { 1: '0a080000', 4: '05000000' }],
    [
      'a destination with host bits, cleared',
      route('10.8.1.2/16'),
      '02100000fe03fd0100000000',
      { 1: '0a080000', 4: '05000000' },
    ],
    [
      'a gateway on the link',
      route('::/0', { gateway: ip('fe80::1'), onlink: true }),
      '0a000000fe03000104000000',
      { 4: '05000000', 5: 'fe800000000000000000000000000001' },
    ],
    [
      'a table, a priority and a scope',
      route('10.8.0.0/16', { table: 1000, priority: 7, scope: 0 }),
      '021000000003000100000000',
      { 1: '0a080000', 4: '05000000', 6: '07000000', 15: 'e8030000' },
    ],
    [
      'metrics',
      route('10.8.0.0/16', { mtuBytes: 1400, advmssBytes: 1200 }),
      '02100000fe03fd0100000000',
      { 1: '0a080000', 4: '05000000', 8: '080002007805000008000800b0040000' },
    ],
  ])('asks for %s', (_, made, fixed, attributes) => {
    expect(made).toEqual({ fixed, attributes })
  })
})
