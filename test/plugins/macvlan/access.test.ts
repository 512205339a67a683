import { describe, expect, it } from 'vitest'
import {
  hostLinkIndex,
  hostLinkMac,
  hostLinkName,
  hostRoutes,
  isPartyOf,
  podRouting,
} from '../../../plugins/macvlan/access.ts'
import { formatCidr, formatIp, type Ip, parseIp } from '../../../shared/address.ts'
import type { Result } from '../../../shared/cni/result.ts'

function ipOf(text: string): Ip {
  const ip = parseIp(text)
  if (ip === undefined) throw new Error(`not an address: ${text}`)
  return ip
}

const resultOf = (addresses: string[], routes: Result['routes'] = []): Result => ({
  interfaces: [],
  ips: addresses.map((address) => ({ address, gateway: address.includes(':') ? 'fd00:20::1' : '10.20.0.1' })),
  routes,
  dns: {},
})
const dual = resultOf(['10.20.0.10/24', 'fd00:20::10/64'])
const layer3 = { acceptRA: undefined, dad: 'off', announce: true, sourceRouting: undefined } as const

describe('hostLinkName()', () => {
  it('fits into what Linux takes when the index is the highest', () => {
    expect(hostLinkName(0x7fffffff)).toHaveLength(15)
  })
})

describe('hostLinkMac()', () => {
  it.each([
    ['52:54:00:12:34:56', '12:54:00:12:34:56'],
    ['00:1b:21:00:00:01', '42:1b:21:00:00:01'],
  ])('is another one, of nobody on the wire and of one station, when the master has %s', (master, own) => {
    expect(hostLinkMac(master)).toBe(own)
  })
})

describe('hostRoutes()', () => {
  const shown = (nodeAddresses: string[]): string[] =>
    hostRoutes(dual, nodeAddresses.map(ipOf)).map(
      ({ destination, source }) => `${formatCidr(destination)} ${source === undefined ? '' : formatIp(source)}`,
    )

  it('has the source that is in the subnet of the pod when the node has several', () => {
    expect(shown(['192.0.2.5', '10.20.0.5', '2001:db8::5'])).toEqual([
      '10.20.0.10/32 10.20.0.5',
      'fd00:20::10/128 2001:db8::5',
    ])
  })

  it('leaves out a family when the node does not have it', () => {
    expect(shown(['192.0.2.5'])).toEqual(['10.20.0.10/32 192.0.2.5'])
  })
})

describe('hostLinkIndex()', () => {
  it.each([1, 2, 4711, 2 ** 20, 2 ** 31 - 1])('is an index of its own when the master has %i', (index) => {
    const own = hostLinkIndex(index)
    expect(own).not.toBe(index)
    expect(own).toBeGreaterThan(0)
    expect(own).toBeLessThan(2 ** 31)
    expect(hostLinkIndex(own)).toBe(index)
  })
})

describe('podRouting()', () => {
  const shown = (keys: object, nodeAddresses: string[], routes: Result['routes'] = []): string[] => {
    const result = { ...dual, routes }
    const told = podRouting(result, { ...layer3, ...keys }, 9, nodeAddresses.map(ipOf))
    return [
      ...told.routes.map(({ destination, table }) => `${formatCidr(destination)} in ${table ?? 'main'}`),
      ...told.rules.map(({ direction, ip, table, priority }) =>
        [direction, formatIp(ip), table, priority].filter((part) => part !== undefined).join(' '),
      ),
    ]
  }
  const last = 'to 192.0.2.5 9 32768'

  it('is nothing when the address of the node is in the subnet', () => {
    expect(shown({}, ['10.20.0.5', 'fd00:20::5'])).toEqual([])
  })

  it('is a table and rules of the family when the address of the node is elsewhere', () => {
    expect(shown({}, ['192.0.2.5', 'fd00:20::5'])).toEqual(['192.0.2.5/32 in 9', 'from 10.20.0.10 9', last])
  })

  it.each([
    [{ table: 0 }, ['192.0.2.5/32 in 9', last]],
    [{ table: 77 }, ['192.0.2.5/32 in 77', '192.0.2.5/32 in 9', last]],
  ])('uses the table and the rules of source routing when there is some: %j', (sourceRouting, expected) => {
    expect(shown({ sourceRouting }, ['192.0.2.5'])).toEqual(expected)
  })

  const way = ['192.0.2.5/32 in 9', '192.0.2.5/32 in main', 'from 10.20.0.10 9']
  it.each([
    ['a default route', [{ dst: '0.0.0.0/0' }], {}, way],
    ['a route to elsewhere', [{ dst: '198.51.100.0/24' }], {}, ['192.0.2.5/32 in 9', 'from 10.20.0.10 9', last]],
    [
      'a default route in another table',
      [{ dst: '0.0.0.0/0', table: 5 }],
      {},
      ['192.0.2.5/32 in 9', 'from 10.20.0.10 9', last],
    ],
    [
      'a default route and source routing',
      [{ dst: '0.0.0.0/0' }],
      { sourceRouting: { table: 0 } },
      ['192.0.2.5/32 in 9', last],
    ],
  ])('is in the main table when the result itself leads there to its gateway: %s', (_, routes, keys, expected) => {
    expect(shown(keys, ['192.0.2.5'], routes)).toEqual(expected)
  })
})

describe('isPartyOf()', () => {
  const neighbour = { ip: ipOf('10.20.0.10'), mac: '02:00:00:00:00:01' }

  it.each([
    [{ mac: neighbour.mac, addresses: [] }, true],
    [{ mac: undefined, addresses: [neighbour.ip] }, true],
    [{ mac: '02:00:00:00:00:02', addresses: [ipOf('10.20.0.11')] }, false],
    [{ mac: undefined, addresses: [] }, false],
  ])('goes by the MAC or the address: %#', (party, expected) => {
    expect(isPartyOf(party, neighbour)).toBe(expected)
  })
})
