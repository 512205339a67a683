import { describe, expect, it } from 'vitest'
import {
  hostLinkMac,
  hostLinkName,
  hostRoutes,
  isLedAway,
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

describe('podRouting()', () => {
  const shown = (keys: object, nodeAddresses: string[]): string[] => {
    const { routes, rules } = podRouting(dual, { ...layer3, ...keys }, 9, nodeAddresses.map(ipOf))
    return [
      ...routes.map(({ destination, table }) => `${formatCidr(destination)} in ${table}`),
      ...rules.map(({ source, table }) => `from ${formatIp(source)} to ${table}`),
    ]
  }

  it('is nothing when the address of the node is in the subnet', () => {
    expect(shown({}, ['10.20.0.5', 'fd00:20::5'])).toEqual([])
  })

  it('is a table and a rule of the family when the address of the node is elsewhere', () => {
    expect(shown({}, ['192.0.2.5', 'fd00:20::5'])).toEqual(['192.0.2.5/32 in 9', 'from 10.20.0.10 to 9'])
  })

  it.each([
    [{ table: 0 }, 9],
    [{ table: 77 }, 77],
  ])('uses the table and the rules of source routing when there is some: %j', (sourceRouting, table) => {
    expect(shown({ sourceRouting }, ['192.0.2.5'])).toEqual([`192.0.2.5/32 in ${table}`])
  })
})

describe('isLedAway()', () => {
  it.each([
    ['a default route', [{ dst: '0.0.0.0/0' }], {}, true],
    ['a route to elsewhere', [{ dst: '198.51.100.0/24' }], {}, false],
    ['a default route in another table', [{ dst: '0.0.0.0/0', table: 5 }], {}, false],
    ['a default route and source routing', [{ dst: '0.0.0.0/0' }], { sourceRouting: { table: 0 } }, false],
  ])('sees what the result has when it is %s', (_, routes, keys, expected) => {
    expect(isLedAway(resultOf(['10.20.0.10/24'], routes), { ...layer3, ...keys }, ipOf('192.0.2.5'))).toBe(expected)
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
