import { describe, expect, it } from 'vitest'
import { kernelRoutes, readAddress, routingOf } from '../../plugins/routing.ts'
import { formatIp } from '../../shared/address.ts'
import type { Result, Route } from '../../shared/cni/result.ts'
import { cidr } from '../shared/addresses.ts'
import { failureOf } from '../shared/failures.ts'

const dualStack: Result['ips'] = [
  { address: '10.0.0.7/24', gateway: '10.0.0.1' },
  { address: 'fd00::7/64', gateway: 'fd00::1' },
]
const resultOf = (routes: readonly Route[], ips: Result['ips'] = dualStack): Result => ({
  interfaces: [],
  ips,
  routes,
  dns: {},
})

/** The gateway of the only route, and whether it is believed to be on the link. */
function gatewayOf(route: Route, ips: Result['ips']): [string, boolean | undefined] | undefined {
  const [made] = kernelRoutes(resultOf([route], ips))
  expect(made?.destination).toEqual(cidr(route.dst))
  return made?.gateway === undefined ? undefined : [formatIp(made.gateway), made.onlink]
}

describe('kernelRoutes()', () => {
  it.each<[string, Route, Result['ips'], [string, boolean] | undefined]>([
    ['its own', { dst: '0.0.0.0/0', gw: '10.0.0.2' }, dualStack, ['10.0.0.2', false]],
    ['that of IPv4 when it is IPv4', { dst: '10.8.0.0/16' }, dualStack, ['10.0.0.1', false]],
    ['that of IPv6 when it is IPv6', { dst: '::/0' }, dualStack, ['fd00::1', false]],
    ['that of its family when that comes second', { dst: '0.0.0.0/0' }, [...dualStack].reverse(), ['10.0.0.1', false]],
    [
      'the first of its family',
      { dst: '0.0.0.0/0' },
      [{ address: '10.9.0.7/24', gateway: '10.9.0.1' }, ...dualStack],
      ['10.9.0.1', false],
    ],
    ['none when there is none', { dst: '0.0.0.0/0' }, [{ address: '10.0.0.7/24' }], undefined],
    ['none when there is only one of the other family', { dst: '::/0' }, dualStack.slice(0, 1), undefined],
    ['none when it is empty', { dst: '0.0.0.0/0', gw: '' }, [{ address: '10.0.0.7/24', gateway: '' }], undefined],
    ['the default one when its own is empty', { dst: '0.0.0.0/0', gw: '' }, dualStack, ['10.0.0.1', false]],
    ['one outside all subnets, on the link', { dst: '0.0.0.0/0', gw: '10.9.0.1' }, dualStack, ['10.9.0.1', true]],
    ['a link-local one, on the link', { dst: '::/0', gw: 'fe80::1' }, dualStack, ['fe80::1', true]],
    [
      'a default one outside the subnet, on the link',
      { dst: '0.0.0.0/0' },
      [{ address: '10.0.0.7/32', gateway: '10.0.1.1' }],
      ['10.0.1.1', true],
    ],
    ['one inside the second subnet', { dst: '::/0', gw: 'fd00::9' }, dualStack, ['fd00::9', false]],
  ])('gives a route as its gateway %s', (_, route, ips, wanted) => {
    expect(gatewayOf(route, ips)).toEqual(wanted)
  })

  it('does not call a route without a gateway one on the link', () => {
    expect(kernelRoutes(resultOf([{ dst: '10.8.0.0/16' }], []))).toMatchObject([{ gateway: undefined, onlink: false }])
  })

  it('passes on what else a route says, in order', () => {
    const whole = { dst: '10.8.0.0/16', mtu: 1300, advmss: 1200, priority: 5, table: 1000, scope: 253 }
    expect(kernelRoutes(resultOf([{ dst: '::/0' }, whole]))).toMatchObject([
      { mtuBytes: undefined, advmssBytes: undefined, priority: undefined, table: undefined, scope: undefined },
      { mtuBytes: 1300, advmssBytes: 1200, priority: 5, table: 1000, scope: 253 },
    ])
  })

  it.each<[string, Result, string]>([
    ['destination', resultOf([{ dst: 'default' }]), 'Cannot use address "default": not "address/prefix"'],
    ['gateway', resultOf([{ dst: '::/0', gw: 'x' }]), 'Cannot use gateway "x": not an IP address'],
    ['address', resultOf([], [{ address: '10.0.0.7' }]), 'Cannot use address "10.0.0.7": not "address/prefix"'],
    [
      'gateway of an address',
      resultOf([], [{ address: '10.0.0.7/24', gateway: '10.0.0.1/24' }]),
      'Cannot use gateway "10.0.0.1/24": not an IP address',
    ],
  ])('refuses a %s that is none, and quotes it', (_, result, message) => {
    const failure = failureOf(() => kernelRoutes(result))
    expect([failure.errorName, failure.message]).toEqual(['ERR_CONFIG', message])
  })
})

describe('readAddress()', () => {
  it('keeps host bits', () => {
    expect(readAddress('10.0.0.7/24')).toEqual(cidr('10.0.0.7/24'))
  })
})

describe('routingOf()', () => {
  const ips = [{ address: '10.7.0.2/24', gateway: '10.7.0.1' }, { address: 'fd07::2/128' }]
  const layer3 = { acceptRA: undefined, dad: 'off', announce: true, sourceRouting: { table: 0 } } as const
  const shown = (routing: ReturnType<typeof routingOf>) =>
    routing.routes.map(({ destination, table, onlink }) => ({ prefix: destination.prefix, table, onlink }))

  it('leaves the routes as they are when there is no source routing', () => {
    const result = resultOf([{ dst: '10.8.0.0/16' }], ips)
    expect(routingOf(result, { ...layer3, sourceRouting: undefined }, 9)).toEqual({
      routes: kernelRoutes(result),
      rules: [],
    })
  })

  it("puts routes, subnets and a default route into the link's table, and rules for every address", () => {
    const routing = routingOf(resultOf([{ dst: '10.8.0.0/16' }, { dst: '10.9.0.0/16', table: 5 }], ips), layer3, 9)
    expect(shown(routing)).toMatchObject([
      { prefix: 24, table: 9 },
      { prefix: 16, table: 9 },
      { prefix: 16, table: 5 },
      { prefix: 0, table: 9, onlink: false },
    ])
    expect(routing.rules.map(({ table }) => table)).toEqual([9, 9])
  })

  it.each([
    ['the result has one in the table', [{ dst: '0.0.0.0/0' }], 1],
    ['the one it has names another table', [{ dst: '0.0.0.0/0', table: 5 }], 2],
  ])('adds one default route at most when %s', (_, routes, count) => {
    const { routes: made } = routingOf(resultOf(routes, ips), { ...layer3, sourceRouting: { table: 77 } }, 9)
    expect(made.filter(({ destination }) => destination.prefix === 0)).toHaveLength(count)
  })

  it('reaches a gateway outside of the subnets on the link', () => {
    const outside = [{ address: '10.7.0.2/32', gateway: '10.0.0.1' }]
    expect(shown(routingOf(resultOf([], outside), layer3, 9))).toEqual([{ prefix: 0, table: 9, onlink: true }])
  })
})
