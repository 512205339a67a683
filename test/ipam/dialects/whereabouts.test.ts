import { describe, expect, it } from 'vitest'
import { whereabouts } from '../../../ipam/dialects/whereabouts.ts'
import type { Plan, Range } from '../../../ipam/plan.ts'
import { formatCidr, formatIp } from '../../../shared/address.ts'
import { failureOf } from '../../shared/failures.ts'
import { spanText } from './shown.ts'

const planOf = (ipam: unknown): Plan =>
  whereabouts.plan({ ipam, network: 'net', runtimeRanges: undefined, defaults: undefined })

/** A range as a table can show it: its text, subnet and bounds, and what is excluded and the gateway if there are any. */
function shown({ text, network, span, excluded, gateway }: Range): unknown[] {
  const always = [text, formatCidr(network), spanText(span)]
  if (excluded.length === 0 && gateway === undefined) return always
  return [...always, excluded.map(spanText), ...(gateway === undefined ? [] : [formatIp(gateway)])]
}

/** The ranges, each of which must be a set of its own. */
function rangesIn({ rangeSets }: Plan): Range[] {
  expect(rangeSets.every((set) => set.length === 1)).toBe(true)
  return rangeSets.flat()
}

const rangesOf = (ipam: object): unknown[][] => rangesIn(planOf(ipam)).map(shown)

describe('whereabouts.plan() of a range', () => {
  it.each<[string, object, unknown[]]>([
    ['a prefix', { range: '10.0.0.0/24' }, ['10.0.0.0/24', '10.0.0.0/24', '10.0.0.1-10.0.0.254']],
    ['a prefix with host bits', { range: '10.0.0.7/24' }, ['10.0.0.7/24', '10.0.0.0/24', '10.0.0.1-10.0.0.254']],
    ['an IPv6 prefix', { range: 'FD00:0::/120' }, ['FD00:0::/120', 'fd00::/120', 'fd00::1-fd00::fe']],
    ['a /31', { range: '10.0.0.4/31' }, ['10.0.0.4/31', '10.0.0.4/31', '10.0.0.4-10.0.0.5']],
    ['a /32', { range: '10.0.0.4/32' }, ['10.0.0.4/32', '10.0.0.4/32', '10.0.0.4-10.0.0.4']],
    [
      'two ends and a length',
      { range: '10.0.0.5-10.0.0.9/24' },
      ['10.0.0.5-10.0.0.9/24', '10.0.0.0/24', '10.0.0.5-10.0.0.9'],
    ],
    ['two ends of IPv6', { range: 'fd00::5-fd00::9/64' }, ['fd00::5-fd00::9/64', 'fd00::/64', 'fd00::5-fd00::9']],
    [
      'a start',
      { range: '10.0.0.0/24', range_start: '10.0.0.9' },
      ['10.0.0.0/24', '10.0.0.0/24', '10.0.0.9-10.0.0.254'],
    ],
    ['an end', { range: '10.0.0.0/24', range_end: '10.0.0.9' }, ['10.0.0.0/24', '10.0.0.0/24', '10.0.0.1-10.0.0.9']],
    [
      'a start and an end that are the same',
      { range: '10.0.0.0/24', range_start: '10.0.0.9', range_end: '10.0.0.9' },
      ['10.0.0.0/24', '10.0.0.0/24', '10.0.0.9-10.0.0.9'],
    ],
    [
      'a start and an end that are the network and the broadcast address',
      { range: '10.0.0.0/24', range_start: '10.0.0.0', range_end: '10.0.0.255' },
      ['10.0.0.0/24', '10.0.0.0/24', '10.0.0.1-10.0.0.254'],
    ],
    [
      'a start besides two ends, which it replaces',
      { range: '10.0.0.5-10.0.0.9/24', range_start: '10.0.0.7' },
      ['10.0.0.5-10.0.0.9/24', '10.0.0.0/24', '10.0.0.7-10.0.0.9'],
    ],
    [
      'exclusions: an address, a prefix, and one that they overlap',
      { range: '10.0.0.0/24', exclude: ['10.0.0.130', '10.0.0.128/25', '10.0.0.1', '10.0.0.2'] },
      ['10.0.0.0/24', '10.0.0.0/24', '10.0.0.1-10.0.0.254', ['10.0.0.1-10.0.0.2', '10.0.0.128-10.0.0.255']],
    ],
    [
      'an exclusion that is wider',
      { range: '10.0.0.0/24', exclude: ['10.0.0.0/16'] },
      ['10.0.0.0/24', '10.0.0.0/24', '10.0.0.1-10.0.0.254', ['10.0.0.0-10.0.255.255']],
    ],
    [
      'an exclusion with host bits',
      { range: 'fd00::/64', exclude: ['fd00::7/126'] },
      ['fd00::/64', 'fd00::/64', 'fd00::1-fd00::ffff:ffff:ffff:fffe', ['fd00::4-fd00::7']],
    ],
    [
      'a gateway',
      { range: '10.0.0.0/30', gateway: '10.0.0.1' },
      ['10.0.0.0/30', '10.0.0.0/30', '10.0.0.1-10.0.0.2', [], '10.0.0.1'],
    ],
    [
      'a gateway of the other family, which is not its own',
      { range: '10.0.0.0/30', gateway: 'fd00::1' },
      ['10.0.0.0/30', '10.0.0.0/30', '10.0.0.1-10.0.0.2'],
    ],
    [
      'the gateway of a route, which nobody may get',
      {
        range: '10.0.0.0/30',
        routes: [
          { dst: '0.0.0.0/0', gw: '10.0.0.2' },
          { dst: '10.1.0.0/16', gw: '10.9.0.1' },
        ],
      },
      ['10.0.0.0/30', '10.0.0.0/30', '10.0.0.1-10.0.0.2', ['10.0.0.2-10.0.0.2']],
    ],
    [
      'the gateway of a fixed address, which nobody may get',
      { range: '10.0.0.0/30', addresses: [{ address: '10.0.0.5/24', gateway: '10.0.0.2' }] },
      ['10.0.0.0/30', '10.0.0.0/30', '10.0.0.1-10.0.0.2', ['10.0.0.2-10.0.0.2']],
    ],
  ])('reads %s', (_, ipam, range) => {
    expect(rangesOf({ type: 'whereabouts', ...ipam })).toEqual([range])
  })

  it('makes none when there is none', () => {
    expect(rangesOf({ type: 'whereabouts' })).toEqual([])
    expect(rangesOf({ range: '', ipRanges: [] })).toEqual([])
  })
})

describe('whereabouts.plan() of ipRanges', () => {
  const v4 = { range: '10.0.0.0/24', range_end: '10.0.0.9', exclude: ['10.0.0.2'] }
  const v6 = { range: 'fd00::5-fd00::9/64' }
  const shownV4 = ['10.0.0.0/24', '10.0.0.0/24', '10.0.0.1-10.0.0.9', ['10.0.0.2-10.0.0.2']]
  const shownV6 = ['fd00::5-fd00::9/64', 'fd00::/64', 'fd00::5-fd00::9']

  it('reads them in their order', () => {
    expect(rangesOf({ ipRanges: [v6, v4] })).toEqual([shownV6, shownV4])
  })

  it('puts the single range before them', () => {
    expect(rangesOf({ ...v4, ipRanges: [v6] })).toEqual([shownV4, shownV6])
  })

  it('gives each the gateway when it is of its family', () => {
    const plan = planOf({ ipRanges: [v6, v4, v4], gateway: '10.0.0.254' })
    expect(rangesIn(plan).map(({ gateway }) => gateway && formatIp(gateway))).toEqual([
      undefined,
      '10.0.0.254',
      '10.0.0.254',
    ])
  })
})

describe('whereabouts.plan()', () => {
  it('reads fixed addresses with their host bits and gateways', () => {
    const addresses = [{ address: '10.0.0.7/24', gateway: '10.0.0.1' }, { address: 'fd00::7/64' }]
    const { fixed } = planOf({ addresses })
    expect(fixed.map(({ address, gateway }) => [formatCidr(address), gateway && formatIp(gateway)])).toEqual([
      ['10.0.0.7/24', '10.0.0.1'],
      ['fd00::7/64', undefined],
    ])
  })

  it('passes routes and dns on', () => {
    const routes = [
      { dst: '0.0.0.0/0', gw: '10.9.0.1' },
      { dst: 'fd00::/8', mtu: 1400 },
      { dst: '10.0.0.0/8', gw: '' },
    ]
    const dns = { nameservers: ['10.0.0.53'], domain: 'example.org', search: ['a'], options: ['ndots:2'] }
    expect(planOf({ routes, dns })).toMatchObject({ routes, dns })
    expect(planOf({})).toMatchObject({ routes: [], dns: {} })
  })

  it.each([
    ['storage', 'storage'],
    ['a.b_c-9', 'a.b_c-9'],
    ['', 'default'],
    [undefined, 'default'],
    [null, 'default'],
  ])('makes of network_name %j the space "%s"', (network_name, space) => {
    expect(planOf({ network_name }).space).toBe(space)
  })

  it('folds keys, takes null for absence and leaves those alone that it does not use', () => {
    const ipam = {
      Type: 'whereabouts',
      RANGE: '10.0.0.0/24',
      Range_Start: '10.0.0.9',
      exclude: null,
      ipranges: [{ Range: 'fd00::/120', EXCLUDE: ['fd00::1'] }],
      kubernetes: { kubeconfig: '/x' },
      log_level: 'debug',
      overlapping_ranges: false,
    }
    expect(rangesOf(ipam)).toEqual([
      ['10.0.0.0/24', '10.0.0.0/24', '10.0.0.9-10.0.0.254'],
      ['fd00::/120', 'fd00::/120', 'fd00::1-fd00::fe', ['fd00::1-fd00::1']],
    ])
  })

  const long = 'n'.repeat(101)
  const range = '10.0.0.0/24'

  it.each<[object, string, string, string]>([
    [{ range: 'x' }, 'range', '"x"', 'is not a range'],
    [{ range: 5 }, 'range', '5', 'must be string'],
    [{ range: '10.0.0.0' }, 'range', '"10.0.0.0"', 'is not a range'],
    [{ range: '10.0.0.0/33' }, 'range', '"10.0.0.0/33"', 'is not a range'],
    [{ range: '10.0.0.1-10.0.0.9' }, 'range', '"10.0.0.1-10.0.0.9"', 'is not a range'],
    [{ range: '10.0.0.1/24-10.0.0.9/24' }, 'range', '"10.0.0.1/24"', 'is not an IP address'],
    [{ range: 'x-10.0.0.9/24' }, 'range', '"x"', 'is not an IP address'],
    [{ range: '10.0.0.1-10.0.0.5-10.0.0.9/24' }, 'range', '"10.0.0.1-10.0.0.5-10.0.0.9/24"', 'is not a range'],
    [{ range, range_start: 'x' }, 'range_start', '"x"', 'is not an IP address'],
    [{ range, range_end: '10.0.0.9/24' }, 'range_end', '"10.0.0.9/24"', 'is not an IP address'],
    [{ range, range_start: '10.0.1.1' }, 'range_start', '"10.0.1.1"', 'lies outside the range 10.0.0.0/24'],
    [{ range, range_end: '9.255.255.255' }, 'range_end', '"9.255.255.255"', 'lies outside the range 10.0.0.0/24'],
    [{ range, range_start: 'fd00::1' }, 'range_start', '"fd00::1"', 'lies outside the range 10.0.0.0/24'],
    [
      { range, range_start: '10.0.0.9', range_end: '10.0.0.8' },
      'range_end',
      '"10.0.0.8"',
      'comes before the first address "10.0.0.9"',
    ],
    [
      { range, range_start: '10.0.0.255', range_end: '10.0.0.255' },
      'range_end',
      '"10.0.0.255"',
      'leaves no usable address of 10.0.0.0/24',
    ],
    [{ range, range_end: '10.0.0.0' }, 'range_end', '"10.0.0.0"', 'comes before the first address "10.0.0.1"'],
    [{ range_start: '10.0.0.1' }, 'range_start', '"10.0.0.1"', 'has no "range" to lie in'],
    [{ range_end: '10.0.0.1' }, 'range_end', '"10.0.0.1"', 'has no "range" to lie in'],
    [{ exclude: ['10.0.0.1'] }, 'exclude', '["10.0.0.1"]', 'has no "range" to lie in'],
    [{ range, exclude: '10.0.0.1' }, 'exclude', '"10.0.0.1"', 'must be array'],
    [{ range, exclude: ['10.0.0.1', 'x'] }, 'exclude.1', '"x"', 'is neither an address nor a prefix'],
    [
      { range, exclude: ['10.0.0.1-10.0.0.9'] },
      'exclude.0',
      '"10.0.0.1-10.0.0.9"',
      'is neither an address nor a prefix',
    ],
    [{ range, exclude: ['10.0.1.0/24'] }, 'exclude.0', '"10.0.1.0/24"', 'lies outside the range 10.0.0.0/24'],
    [{ range, exclude: ['9.255.255.255'] }, 'exclude.0', '"9.255.255.255"', 'lies outside the range 10.0.0.0/24'],
    [{ range, exclude: ['::/0'] }, 'exclude.0', '"::/0"', 'lies outside the range 10.0.0.0/24'],
    [{ ipRanges: {} }, 'ipRanges', '{}', 'must be array'],
    [{ ipRanges: [{}] }, 'ipRanges.0.range', '""', 'is not a range'],
    [{ ipRanges: ['10.0.0.0/24'] }, 'ipRanges.0', '"10.0.0.0/24"', 'must be an object'],
    [{ ipRanges: [{ range }, { range, range_start: 'x' }] }, 'ipRanges.1.range_start', '"x"', 'is not an IP address'],
    [
      { ipRanges: [{ range, exclude: ['10.1.0.1'] }] },
      'ipRanges.0.exclude.0',
      '"10.1.0.1"',
      'lies outside the range 10.0.0.0/24',
    ],
    [{ ipRanges: [{ range, gateway: 'x' }] }, 'ipRanges.0.gateway', '"x"', 'is not an IP address'],
    [{ ipRanges: [{ range, gateway: 'fd00::1' }] }, 'ipRanges.0.gateway', '"fd00::1"', 'is not an IPv4 address'],
    [
      { ipRanges: [{ range, reserved: ['10.0.1.1'] }] },
      'ipRanges.0.reserved.0',
      '"10.0.1.1"',
      'lies outside the range 10.0.0.0/24',
    ],
    [{ enable_overlapping_ranges: 'no' }, 'enable_overlapping_ranges', '"no"', 'must be boolean'],
    [{ gateway: '10.0.0.1/24' }, 'gateway', '"10.0.0.1/24"', 'is not an IP address'],
    [{ addresses: [{ address: '10.0.0.7' }] }, 'addresses.0.address', '"10.0.0.7"', 'is not "address/prefix"'],
    [{ addresses: [{}] }, 'addresses.0.address', 'nothing', 'must be string'],
    [{ addresses: [{ address: range, gateway: 'x' }] }, 'addresses.0.gateway', '"x"', 'is not an IP address'],
    [
      { addresses: [{ address: range, gateway: 'fd00::1' }] },
      'addresses.0.gateway',
      '"fd00::1"',
      'is not an IPv4 address',
    ],
    [{ routes: [{ dst: 'fd00::/8', gw: '10.0.0.1' }] }, 'routes.0.gw', '"10.0.0.1"', 'is not an IPv6 address'],
    [{ routes: [{ dst: range }, { dst: 'default' }] }, 'routes.1.dst', '"default"', 'is not "address/prefix"'],
    [{ routes: [{}] }, 'routes.0.dst', 'nothing', 'must be string'],
    [{ routes: [{ dst: range, gw: 'x' }] }, 'routes.0.gw', '"x"', 'is not an IP address'],
    [{ routes: [{ dst: range, mtu: '9' }] }, 'routes.0.mtu', '"9"', 'must be number'],
    [{ dns: { nameservers: '10.0.0.53' } }, 'dns.nameservers', '"10.0.0.53"', 'must be array'],
    [{ network_name: '../../x' }, 'network_name', '"../../x"', 'must be letters, digits'],
    [{ network_name: 'a,b' }, 'network_name', '"a,b"', 'must be letters, digits'],
    [{ network_name: 'a\n' }, 'network_name', '"a\\n"', 'must be letters, digits'],
    [{ network_name: long }, 'network_name', `"${long}"`, 'must be letters, digits'],
  ])('names the key and quotes the value when given %j', (ipam, key, value, why) => {
    const failure = failureOf(() => planOf(ipam))
    expect([failure.errorName, failure.code]).toEqual(['ERR_CONFIG', 7])
    expect(failure.message).toContain(`Cannot read "ipam.${key}": ${value}: ${why}`)
  })

  it.each([undefined, null, 'host-local', 5, []])('refuses %j, which is no object', (ipam) => {
    expect(failureOf(() => planOf(ipam)).message).toMatch(/^Cannot read "ipam": .*: must be an object$/)
  })

  it.each([
    ['the broadcast address', { range, range_start: '10.0.0.255' }, '10.0.0.255'],
    ['beyond the last end', { range: '10.0.0.5-10.0.0.9/24', range_start: '10.0.0.20' }, '10.0.0.20'],
  ])('names "range_start", which alone was written, when it is %s', (_, ipam, written) => {
    const { message } = failureOf(() => planOf(ipam))
    expect(message).toContain(`Cannot read "ipam.range_start": "${written}"`)
  })

  it.each([
    ['a first end outside', '10.1.0.1-10.0.0.9/24'],
    ['its ends swapped', '10.0.0.9-10.0.0.5/24'],
  ])('names "range", which alone was written, when it has %s', (_, written) => {
    const { message } = failureOf(() => planOf({ range: written }))
    expect(message).toContain(`Cannot read "ipam.range": "${written}"`)
  })
})
