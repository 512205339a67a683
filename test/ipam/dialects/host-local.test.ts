import { describe, expect, it } from 'vitest'
import { parseResolvConf, resolvConfPath } from '../../../ipam/dialects/host-local.ts'
import { planIn, refusalIn, shownSets } from './shown.ts'

const subnet = '10.0.0.0/24'
const v6 = 'fd00::/64'
const setsOf = (ipam: object, runtimeRanges?: unknown): string[][] =>
  shownSets(planIn('host-local', ipam, { runtimeRanges }))

describe('hostLocal.plan() of a range', () => {
  it.each<[string, object, string]>([
    ['a subnet', { subnet }, '10.0.0.0/24: 10.0.0.1-10.0.0.254 via 10.0.0.1'],
    ['an IPv6 subnet', { subnet: 'FD00:0::/64' }, 'fd00::/64: fd00::1-fd00::ffff:ffff:ffff:fffe via fd00::1'],
    ['a /8', { subnet: '10.0.0.0/8' }, '10.0.0.0/8: 10.0.0.1-10.255.255.254 via 10.0.0.1'],
    [
      'an IPv6 /32',
      { subnet: '2001:db8::/32' },
      '2001:db8::/32: 2001:db8::1-2001:db8:ffff:ffff:ffff:ffff:ffff:fffe via 2001:db8::1',
    ],
    ['a /30', { subnet: '10.0.0.4/30' }, '10.0.0.4/30: 10.0.0.5-10.0.0.6 via 10.0.0.5'],
    ['a /31 without a gateway of its own', { subnet: '10.0.0.4/31' }, '10.0.0.4/31: 10.0.0.4-10.0.0.5'],
    ['a /32 without a gateway of its own', { subnet: '10.0.0.4/32' }, '10.0.0.4/32: 10.0.0.4-10.0.0.4'],
    ['a /127', { subnet: 'fd00::4/127' }, 'fd00::4/127: fd00::4-fd00::5'],
    ['a /128', { subnet: 'fd00::4/128' }, 'fd00::4/128: fd00::4-fd00::4'],
    [
      'a /31 with a gateway',
      { subnet: '10.0.0.4/31', gateway: '10.0.0.4' },
      '10.0.0.4/31: 10.0.0.4-10.0.0.5 via 10.0.0.4',
    ],
    ['a start', { subnet, rangeStart: '10.0.0.9' }, '10.0.0.0/24: 10.0.0.9-10.0.0.254 via 10.0.0.1'],
    ['an end', { subnet, rangeEnd: '10.0.0.9' }, '10.0.0.0/24: 10.0.0.1-10.0.0.9 via 10.0.0.1'],
    [
      'a start and an end that are the same',
      { subnet, rangeStart: '10.0.0.9', rangeEnd: '10.0.0.9' },
      '10.0.0.0/24: 10.0.0.9-10.0.0.9 via 10.0.0.1',
    ],
    [
      'an end that is the broadcast address',
      { subnet, rangeEnd: '10.0.0.255' },
      '10.0.0.0/24: 10.0.0.1-10.0.0.254 via 10.0.0.1',
    ],
    ['a gateway', { subnet, gateway: '10.0.0.254' }, '10.0.0.0/24: 10.0.0.1-10.0.0.254 via 10.0.0.254'],
    ['a gateway outside', { subnet, gateway: '10.9.0.1' }, '10.0.0.0/24: 10.0.0.1-10.0.0.254 via 10.9.0.1'],
    [
      'the gateway of a route, which nobody may get',
      { subnet, routes: [{ dst: '0.0.0.0/0', gw: '10.0.0.7' }] },
      '10.0.0.0/24: 10.0.0.1-10.0.0.254 via 10.0.0.1 without 10.0.0.7-10.0.0.7',
    ],
    ['other capitals', { SUBNET: subnet, rangestart: '10.0.0.9' }, '10.0.0.0/24: 10.0.0.9-10.0.0.254 via 10.0.0.1'],
  ])('reads %s', (_, ipam, shown) => {
    expect(setsOf(ipam)).toEqual([[shown]])
    const { subnet: own, rangeStart, rangeEnd, gateway, ...rest } = { subnet: '', ...ipam } as Record<string, unknown>
    if (own === '') return
    expect(setsOf({ ...rest, ranges: [[{ subnet: own, rangeStart, rangeEnd, gateway }]] })).toEqual([[shown]])
  })

  it('keeps the text of the user', () => {
    const [range] = planIn('host-local', { subnet: 'FD00:0::/64' }).rangeSets.flat()
    expect(range?.text).toBe('FD00:0::/64')
  })
})

describe('hostLocal.plan() of sets', () => {
  const lower = { subnet, rangeEnd: '10.0.0.99' }
  const upper = { subnet, rangeStart: '10.0.0.100', gateway: '10.0.0.254' }

  it('puts those of the runtime before the single range, and that before the list', () => {
    const sets = setsOf({ subnet: '10.2.0.0/24', ranges: [[{ subnet: '10.3.0.0/24' }]] }, [[{ Subnet: '10.1.0.0/24' }]])
    expect(sets).toEqual([
      ['10.1.0.0/24: 10.1.0.1-10.1.0.254 via 10.1.0.1'],
      ['10.2.0.0/24: 10.2.0.1-10.2.0.254 via 10.2.0.1'],
      ['10.3.0.0/24: 10.3.0.1-10.3.0.254 via 10.3.0.1'],
    ])
  })

  it.each([undefined, null])('is content with the ranges of the runtime alone, or with none of them: %j', (none) => {
    expect(setsOf({}, [[{ subnet }]])).toHaveLength(1)
    expect(setsOf({ subnet }, none)).toHaveLength(1)
  })

  it('reads ranges of a set in their order, and leases no gateway of any', () => {
    expect(setsOf({ ranges: [[upper, lower], [{ subnet: v6 }]] })).toEqual([
      [
        '10.0.0.0/24: 10.0.0.100-10.0.0.254 via 10.0.0.254 without 10.0.0.1-10.0.0.1',
        '10.0.0.0/24: 10.0.0.1-10.0.0.99 via 10.0.0.1 without 10.0.0.254-10.0.0.254',
      ],
      ['fd00::/64: fd00::1-fd00::ffff:ffff:ffff:fffe via fd00::1'],
    ])
  })

  it('allows two sets of one subnet that do not overlap', () => {
    expect(setsOf({ ranges: [[lower], [upper]] })).toHaveLength(2)
    // The numbers of these are the same, and the families are not.
    expect(setsOf({ ranges: [[lower], [{ subnet: '::a00:0/120' }]] })).toHaveLength(2)
  })
})

describe('hostLocal.plan()', () => {
  const spaceOf = (ipam: object, network = 'net'): string[] => {
    const { space, rangeSets } = planIn('host-local', { subnet, ...ipam }, { network })
    return [space, ...rangeSets.flat().map((range) => range.space)]
  }

  it('has a space for each network, and for each dataDir that is not the own one of the peer', () => {
    expect(spaceOf({})).toEqual(['net', 'net'])
    expect(spaceOf({}, 'other')).toEqual(['other', 'other'])
    expect(spaceOf({ dataDir: '' })).toEqual(['net', 'net'])
    expect(spaceOf({ dataDir: '/var/lib/cni/networks' })).toEqual(['net', 'net'])
    // As `python3 -c 'import zlib; print("%08x" % zlib.crc32(b"foobar"))'` says.
    expect(spaceOf({ dataDir: 'a' })).toEqual(['net~e8b7be43', 'net~e8b7be43'])
    expect(spaceOf({ dataDir: 'foobar' })).toEqual(['net~9ef61f95', 'net~9ef61f95'])
  })

  it('passes routes on and leaves dns to the reader of resolvConf', () => {
    const routes = [{ dst: '0.0.0.0/0' }, { dst: '10.1.0.0/16', gw: '10.0.0.7' }]
    const plan = planIn('host-local', { subnet, routes, resolvConf: '/etc/resolv.conf' })
    expect(plan).toMatchObject({ routes, dns: {}, link: {}, fixed: [] })
  })

  const overlap = 'overlaps 10.0.0.1-10.0.0.254 of'

  it.each<[object, string]>([
    [{}, '"ipam.ranges": []: no IP ranges specified'],
    [{ ranges: [] }, '"ipam.ranges": []: no IP ranges specified'],
    [{ ranges: [[]] }, '"ipam.ranges.0": []: empty range set'],
    [{ ranges: [{}] }, '"ipam.ranges.0": {}: must be array'],
    [{ ranges: [[5]] }, '"ipam.ranges.0.0": 5: must be an object'],
    [{ ranges: [[{}]] }, '"ipam.ranges.0.0.subnet": nothing: must be string'],
    [{ subnet: 5 }, '"ipam.subnet": 5: must be string'],
    [{ subnet: 'x' }, '"ipam.subnet": "x": is not "address/prefix"'],
    [{ subnet: '10.0.0.0' }, '"ipam.subnet": "10.0.0.0": is not "address/prefix"'],
    [{ subnet: '10.0.0.7/24' }, '"10.0.0.7/24": has host bits set; the network address is 10.0.0.0'],
    [{ subnet: 'fd00::7/64' }, '"fd00::7/64": has host bits set; the network address is fd00::'],
    [{ ranges: [[{ subnet: '10.0.0.7/24' }]] }, '"ipam.ranges.0.0.subnet": "10.0.0.7/24": has host bits set'],
    [{ subnet, rangeStart: 'x' }, '"ipam.rangeStart": "x": is not an IP address'],
    [{ subnet, rangeEnd: '10.0.0.9/24' }, '"ipam.rangeEnd": "10.0.0.9/24": is not an IP address'],
    [{ subnet, rangeStart: '10.0.1.1' }, '"ipam.rangeStart": "10.0.1.1": lies outside the range 10.0.0.0/24'],
    [{ subnet, rangeEnd: 'fd00::1' }, '"ipam.rangeEnd": "fd00::1": lies outside the range 10.0.0.0/24'],
    [
      { ranges: [[{ subnet, rangeStart: '10.0.1.1' }]] },
      'Cannot read "ipam.ranges.0.0.rangeStart": "10.0.1.1": lies outside the range 10.0.0.0/24',
    ],
    [
      { subnet, rangeStart: '10.0.0.9', rangeEnd: '10.0.0.8' },
      '"ipam.rangeEnd": "10.0.0.8": comes before the first address "10.0.0.9"',
    ],
    [{ subnet, rangeStart: '10.0.0.255' }, '"10.0.0.255": comes after the last address "10.0.0.254"'],
    [
      { subnet, rangeStart: '10.0.0.255', rangeEnd: '10.0.0.255' },
      '"ipam.rangeEnd": "10.0.0.255": leaves no usable address of 10.0.0.0/24',
    ],
    [{ subnet, gateway: 'x' }, '"ipam.gateway": "x": is not an IP address'],
    [{ subnet, gateway: 'fd00::1' }, '"ipam.gateway": "fd00::1": is not an IPv4 address'],
    [{ subnet: v6, gateway: '10.0.0.1' }, '"ipam.gateway": "10.0.0.1": is not an IPv6 address'],
    [{ rangeStart: '10.0.0.1' }, '"ipam.rangeStart": "10.0.0.1": has no "subnet" to lie in'],
    [{ rangeEnd: '10.0.0.1' }, '"ipam.rangeEnd": "10.0.0.1": has no "subnet" to lie in'],
    [{ gateway: '10.0.0.1', ranges: [[{ subnet }]] }, '"ipam.gateway": "10.0.0.1": has no "subnet" to lie in'],
    [
      { ranges: [[{ subnet }, { subnet: v6 }]] },
      '"ipam.ranges.0.1.subnet": "fd00::/64": mixed address families: "10.0.0.0/24" is in the same set',
    ],
    [
      { ranges: [[{ subnet }, { subnet: '10.0.0.128/25' }]] },
      `"ipam.ranges.0.1.subnet": "10.0.0.128/25": 10.0.0.129-10.0.0.254 ${overlap} "ipam.ranges.0.0"`,
    ],
    [
      { subnet, ranges: [[{ subnet: v6 }], [{ subnet, rangeEnd: '10.0.0.9' }]] },
      `"ipam.ranges.1.0.subnet": "10.0.0.0/24": 10.0.0.1-10.0.0.9 ${overlap} "ipam"`,
    ],
    [{ subnet, routes: [{ dst: 'x' }] }, '"ipam.routes.0.dst": "x": is not "address/prefix"'],
    [{ subnet, routes: [{ dst: '0.0.0.0/0', gw: 'x' }] }, '"ipam.routes.0.gw": "x": is not an IP address'],
    [{ subnet, resolvConf: [] }, '"ipam.resolvConf": []: must be string'],
    [{ subnet, dataDir: 5 }, '"ipam.dataDir": 5: must be string'],
  ])('names the key and quotes the value when given %j', (ipam, message) => {
    expect(refusalIn('host-local', ipam)).toContain(message)
  })

  it.each<[unknown, string]>([
    [5, '"runtimeConfig.ipRanges": 5: must be array'],
    [[[]], '"runtimeConfig.ipRanges.0": []: empty range set'],
    [[[{ subnet: 'x' }]], '"runtimeConfig.ipRanges.0.0.subnet": "x": is not "address/prefix"'],
    [[[{}]], '"runtimeConfig.ipRanges.0.0.subnet": nothing: must be string'],
    [[[{ subnet: '10.0.0.0/25' }]], `"10.0.0.0/24": 10.0.0.1-10.0.0.254 overlaps 10.0.0.1-10.0.0.126 of "runtime`],
  ])('names the key of the runtime when it says %j', (runtimeRanges, message) => {
    expect(refusalIn('host-local', { subnet }, { runtimeRanges })).toContain(message)
  })
})

describe('resolvConfPath()', () => {
  it('is the path when there is one', () => {
    expect(resolvConfPath({ resolvConf: '/etc/resolv.conf' })).toBe('/etc/resolv.conf')
    expect(resolvConfPath({ RESOLVCONF: '/x' })).toBe('/x')
    for (const none of [{}, { resolvConf: '' }, { resolvConf: 5 }, null, 'x']) {
      expect(resolvConfPath(none)).toBeUndefined()
    }
  })
})

describe('parseResolvConf()', () => {
  it('reads the four keywords', () => {
    const file = [
      '# a comment',
      '; another',
      '  # an indented one',
      'nameserver 10.0.0.53',
      'nameserver\tfd00::53   # the second',
      'nameserver',
      'domain old.example',
      'domain example.org ;x',
      'search a.example b.example',
      'search c.example\r',
      'options ndots:2 rotate a#b',
      'options',
      'sortlist 10.0.0.0/8',
      'nameservers 10.0.0.1',
      '',
    ].join('\n')
    expect(parseResolvConf(file)).toEqual({
      nameservers: ['10.0.0.53', 'fd00::53'],
      domain: 'example.org',
      search: ['a.example', 'b.example', 'c.example'],
      options: ['ndots:2', 'rotate', 'a#b'],
    })
  })

  it.each(['', '\n\n', '# nameserver 10.0.0.53', ';domain x'])('has no keys when the file is %j', (file) => {
    expect(parseResolvConf(file)).toEqual({})
  })
})
