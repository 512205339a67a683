import { describe, expect, it } from 'vitest'
import { fixture, ipText, planIn, refusalIn, shownFixed, shownRange, shownSets } from './shown.ts'

const v4 = '10.0.0.0/24'
const v6 = 'fd00::/64'

/** The spaces of the ranges, of the fixed addresses, and of the plan. */
function spacesOf(ipam: object): unknown[] {
  const { rangeSets, fixed, space } = planIn('whereabouts', ipam)
  return [rangeSets.flat().map((range) => range.space), fixed.map((one) => one.space), space]
}

describe('whereabouts.plan() of spaces', () => {
  const both = {
    range: v4,
    ipRanges: [{ range: v6 }],
    addresses: [{ address: '10.0.0.7/25' }, { address: '10.9.0.7/16' }],
  }

  it('has one for everything when ranges may overlap', () => {
    expect(spacesOf(both)).toEqual([['default', 'default'], ['default', 'default'], 'default'])
    expect(spacesOf({ ...both, enable_overlapping_ranges: true, network_name: 'a' })).toEqual([
      ['a', 'a'],
      ['a', 'a'],
      'a',
    ])
  })

  it('has one for each subnet when enable_overlapping_ranges is false', () => {
    expect(spacesOf({ ...both, enable_overlapping_ranges: false })).toEqual([
      ['default:10.0.0.0-24', 'default:fd00::-64'],
      // In the space of the range that it lies in, else in that of its own subnet.
      ['default:10.0.0.0-24', 'default:10.9.0.0-16'],
      'default',
    ])
  })

  it('has one for each subnet of a network name, whatever part of the subnet the range is', () => {
    const ipam = { range: '10.0.0.5-10.0.0.9/24', network_name: 'tenant-a', enable_overlapping_ranges: false }
    expect(spacesOf(ipam)).toEqual([['tenant-a:10.0.0.0-24'], [], 'tenant-a'])
  })
})

describe('whereabouts.plan() of gateways', () => {
  it('prefers the gateway of a range to that of the config, and leases neither', () => {
    const plan = planIn('whereabouts', {
      range: '10.0.0.0/29',
      gateway: '10.0.0.1',
      ipRanges: [
        { range: '10.0.0.0/28', gateway: '10.0.0.2' },
        { range: v6, gateway: 'fd00::1' },
      ],
    })
    expect(shownSets(plan)).toEqual([
      ['10.0.0.0/29: 10.0.0.1-10.0.0.6 via 10.0.0.1 without 10.0.0.2-10.0.0.2'],
      ['10.0.0.0/28: 10.0.0.1-10.0.0.14 via 10.0.0.2 without 10.0.0.1-10.0.0.1'],
      ['fd00::/64: fd00::1-fd00::ffff:ffff:ffff:fffe via fd00::1'],
    ])
  })

  it('accepts one outside the range', () => {
    const { rangeSets } = planIn('whereabouts', { ipRanges: [{ range: v4, gateway: '10.9.0.1' }] })
    expect(rangeSets.flat().map(({ gateway }) => ipText(gateway))).toEqual(['10.9.0.1'])
  })

  it.each([
    ['of the config', { gateway: '10.0.0.7' }],
    ['of a range', { ipRanges: [{ range: v4, gateway: '10.0.0.7' }] }],
    ['of a route', { routes: [{ dst: '0.0.0.0/0', gw: '10.0.0.7' }] }],
    [
      'of another address',
      { addresses: [{ address: '10.0.0.7/24' }, { address: '10.0.0.8/24', gateway: '10.0.0.7' }] },
    ],
    ['of its own', { addresses: [{ address: '10.0.0.7/24', gateway: '10.0.0.7' }] }],
  ])('refuses a fixed address that is the gateway %s', (_, more) => {
    const ipam = { addresses: [{ address: '10.0.0.7/24' }], ...more }
    expect(refusalIn('whereabouts', ipam)).toBe(
      'Cannot read "ipam.addresses.0.address": "10.0.0.7/24": is the address of a gateway',
    )
  })

  it('refuses a fixed address that stands there twice', () => {
    const addresses = [{ address: 'fd00::7/64' }, { address: 'FD00:0::7/60' }]
    expect(refusalIn('whereabouts', { addresses })).toBe(
      'Cannot read "ipam.addresses.1.address": "FD00:0::7/60": stands there twice',
    )
  })
})

describe('whereabouts.plan() of reserved addresses', () => {
  it('joins those of a range and those of the config', () => {
    const plan = planIn('whereabouts', {
      range: v4,
      reserved: ['10.0.0.20-10.0.0.29', 'fd00::8/125'],
      ipRanges: [{ range: v6, reserved: ['fd00::7', 'fd00::20'] }],
    })
    expect(shownSets(plan).flat()).toEqual([
      '10.0.0.0/24: 10.0.0.1-10.0.0.254 reserved 10.0.0.20-10.0.0.29',
      'fd00::/64: fd00::1-fd00::ffff:ffff:ffff:fffe reserved fd00::7-fd00::f, fd00::20-fd00::20',
    ])
  })
})

describe('whereabouts.plan() of large subnets', () => {
  it.each([
    ['10.0.0.0/8', '10.0.0.0/8: 10.0.0.1-10.255.255.254'],
    ['2001:db8::/32', '2001:db8::/32: 2001:db8::1-2001:db8:ffff:ffff:ffff:ffff:ffff:fffe'],
    ['::/0', '::/0: ::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe'],
    ['fd00::4/127', 'fd00::4/127: fd00::4-fd00::5'],
    ['fd00::4/128', 'fd00::4/128: fd00::4-fd00::4'],
  ])('reads %s', (range, shown) => {
    expect(shownSets(planIn('whereabouts', { range }))).toEqual([[shown]])
  })
})

describe('whereabouts.plan() with the defaults of the node', () => {
  const planWith = (ipam: object, defaults: unknown) => planIn('whereabouts', ipam, { defaults })

  it('fills what is absent or zero, at every depth and however keys are spelt', () => {
    const defaults = {
      Range: '10.9.0.0/24',
      GATEWAY: '10.0.0.1',
      exclude: ['10.0.0.2'],
      network_name: 'node',
      cooldownSeconds: 7,
      dns: { Domain: 'node.example', nameservers: ['10.0.0.53'] },
      kubernetes: { kubeconfig: '/x' },
    }
    const plan = planWith(
      { range: v4, Gateway: '', exclude: [], network_name: null, cooldownSeconds: 0, dns: { domain: 'own' } },
      defaults,
    )
    expect(shownSets(plan)).toEqual([['10.0.0.0/24: 10.0.0.1-10.0.0.254 via 10.0.0.1 without 10.0.0.2-10.0.0.2']])
    expect(plan).toMatchObject({ space: 'node', coolDownMs: 7000 })
    expect(plan.dns).toEqual({ domain: 'own', nameservers: ['10.0.0.53'] })
  })

  it('leaves alone what the config says, lists as a whole', () => {
    const plan = planWith(
      { range: v4, exclude: ['10.0.0.3'], routes: [{ dst: '10.1.0.0/16' }], sticky: false },
      { range: v6, exclude: ['10.0.0.2'], routes: [{ dst: '10.2.0.0/16', mtu: 9 }], sticky: true },
    )
    expect(shownSets(plan)).toEqual([['10.0.0.0/24: 10.0.0.1-10.0.0.254 without 10.0.0.3-10.0.0.3']])
    expect(plan).toMatchObject({ routes: [{ dst: '10.1.0.0/16' }], keepMs: undefined })
  })

  it('takes enable_overlapping_ranges from them, which the peer discards', () => {
    const [range] = planWith({ range: v4 }, { enable_overlapping_ranges: false }).rangeSets.flat()
    expect(range?.space).toBe('default:10.0.0.0-24')
    const [own] = planWith(
      { range: v4, enable_overlapping_ranges: true },
      { enable_overlapping_ranges: false },
    ).rangeSets.flat()
    expect(own?.space).toBe('default')
  })

  it('takes a key of theirs for a key and nothing else', () => {
    const defaults: unknown = JSON.parse('{"__proto__": {"range": "10.9.0.0/24"}, "range": null}')
    expect(shownSets(planWith({}, defaults))).toEqual([])
  })

  it.each([[null], [[]], ['x'], [5]])('refuses %j, which is no object', (defaults) => {
    expect(refusalIn('whereabouts', { range: v4 }, { defaults })).toBe(
      `Cannot read "the defaults of the node": ${JSON.stringify(defaults)}: must be an object`,
    )
  })

  it('names the key when they are wrong', () => {
    expect(refusalIn('whereabouts', { range: v4 }, { defaults: { gateway: 'x' } })).toBe(
      'Cannot read "ipam.gateway": "x": is not an IP address',
    )
  })
})

describe('whereabouts.plan() of the NADs of the users', () => {
  const nadIpam = (name: string): object => {
    const { spec } = Object(fixture(name))
    return Object(JSON.parse(spec.config)).ipam
  }

  it.each([
    ['nad-internalapi', '172.17.0.0/24: 172.17.0.30-172.17.0.70'],
    ['nad-storage', '172.18.0.0/24: 172.18.0.30-172.18.0.70'],
  ])('reads %s', (name, shown) => {
    const plan = planIn('', nadIpam(name))
    expect(plan.rangeSets.map((set) => set.map(shownRange))).toEqual([[shown]])
    expect(shownFixed(plan)).toEqual([])
    expect(plan).toMatchObject({ space: 'default', routes: [], dns: {}, link: {} })
  })
})
