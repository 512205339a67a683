import { describe, expect, it } from 'vitest'
import { fixture, ipText, planIn, shownFixed, shownSets, spanText } from './shown.ts'

const { networks } = Object(Object(fixture('netconfig')).spec)

/** A network of one subnet. */
const net = (name: string, subnet: object, more: object = {}): object => ({
  name,
  ...more,
  subnets: [{ name: 'subnet1', ...subnet }],
})
const ask = (name: string, more: object = {}): object => ({ name, subnetName: 'subnet1', ...more })
const v4 = net('a', { cidr: '10.0.0.0/24', gateway: '10.0.0.1' })
const v6 = net('b', { cidr: 'fd00::/64', gateway: 'fd00::1' })

describe('netConfig.plan() of the NetConfig of the users', () => {
  it.each([
    [
      'ctlplane',
      ['192.168.122.100-192.168.122.120', '192.168.122.150-192.168.122.200'],
      '192.168.122.1',
      '192.168.122.0/24',
      {},
    ],
    ['internalapi', ['172.17.0.10-172.17.0.250'], 'none', '172.17.0.0/24', { vlan: 20 }],
    ['external', ['10.0.0.10-10.0.0.250'], '10.0.0.1', '10.0.0.0/24', {}],
    ['storage', ['172.18.0.10-172.18.0.250'], 'none', '172.18.0.0/24', { vlan: 30 }],
    ['storagemgmt', ['172.19.0.10-172.19.0.250'], 'none', '172.19.0.0/24', { vlan: 40 }],
    ['tenant', ['172.20.0.10-172.20.0.250'], 'none', '172.20.0.0/24', { vlan: 50, mtuBytes: 9000 }],
  ])('reads the network of the CNI network %s', (network, spans, gateway, cidr, link) => {
    const plan = planIn('netconfig', { networks }, { network })
    expect(plan.rangeSets).toHaveLength(1)
    const ranges = plan.rangeSets.flat()
    expect(ranges.map(({ span }) => spanText(span))).toEqual(spans)
    expect([...new Set(ranges.map((range) => ipText(range.gateway)))]).toEqual([gateway])
    expect([...new Set(ranges.map(({ text, space }) => `${text} ${space}`))]).toEqual([`${cidr} default`])
    expect(plan).toMatchObject({ fixed: [], space: 'default', dns: {} })
    expect(plan.link).toEqual(link)
  })

  it('leases neither what is excluded nor a next hop, and passes the routes on', () => {
    const excludedOf = (network: string): string[] =>
      planIn('netconfig', { networks }, { network })
        .rangeSets.flat()
        .flatMap(({ excluded }) => excluded.map(spanText))
    expect(excludedOf('internalapi')).toEqual(['172.17.0.10-172.17.0.10', '172.17.0.12-172.17.0.12'])
    expect(excludedOf('external')).toEqual(['10.0.0.100-10.0.0.100'])
    expect(planIn('netconfig', { networks }, { network: 'external' }).routes).toEqual([
      { dst: '10.0.1.0/24', gw: '10.0.0.100' },
    ])
  })

  it('gives what the IPSet of the users requests, but not on one link', () => {
    const { spec, status } = Object(fixture('ipset'))
    // Its five networks are four VLANs and two MTUs: for five links. Each by itself is what the peer reserved.
    for (const request of spec.networks) {
      const plan = planIn('netconfig', { networks, request: [request] })
      const reserved = status.reservations.find((one: { network: string }) => one.network === request.name)
      const [range] = plan.rangeSets.flat()
      const fixed = shownFixed(plan)
      const gateway = reserved.gateway ?? 'none'
      if (request.fixedIP !== undefined) expect(fixed).toEqual([`${reserved.address}/24 via ${gateway} in default`])
      else expect(spanText(Object(range).span).startsWith(`${reserved.address}-`)).toBe(true)
      if (range !== undefined) expect([range.text, ipText(range.gateway)]).toEqual([reserved.cidr, gateway])
      expect(plan.link.vlan).toBe(reserved.vlan)
      expect(plan.routes.slice(0, 1)).toEqual(
        request.defaultRoute
          ? [{ dst: '0.0.0.0/0', gw: reserved.gateway }]
          : (reserved.routes ?? []).map((route: { destination: string; nexthop: string }) => ({
              dst: route.destination,
              gw: route.nexthop,
            })),
      )
    }
  })
})

describe('netConfig.plan() of a subnet', () => {
  const setsOf = (subnet: object): string[][] => shownSets(planIn('netconfig', { networks: [net('a', subnet)] }))

  it.each<[string, object, string[]]>([
    ['no ranges', { cidr: '10.0.0.0/24' }, ['10.0.0.0/24: 10.0.0.1-10.0.0.254']],
    ['host bits', { cidr: '10.0.0.7/24' }, ['10.0.0.0/24: 10.0.0.1-10.0.0.254']],
    ['a /8', { cidr: '10.0.0.0/8' }, ['10.0.0.0/8: 10.0.0.1-10.255.255.254']],
    ['an IPv6 /32', { cidr: 'fd00::/32' }, ['fd00::/32: fd00::1-fd00:0:ffff:ffff:ffff:ffff:ffff:fffe']],
    ['a /31', { cidr: '10.0.0.4/31' }, ['10.0.0.4/31: 10.0.0.4-10.0.0.5']],
    ['a /128', { cidr: 'fd00::4/128' }, ['fd00::4/128: fd00::4-fd00::4']],
    [
      'a range of one address',
      { cidr: '10.0.0.0/24', allocationRanges: [{ start: '10.0.0.9', end: '10.0.0.9' }] },
      ['10.0.0.0/24: 10.0.0.9-10.0.0.9'],
    ],
    [
      'a range up to the broadcast address',
      { cidr: '10.0.0.0/24', allocationRanges: [{ start: '10.0.0.0', end: '10.0.0.255' }] },
      ['10.0.0.0/24: 10.0.0.1-10.0.0.254'],
    ],
    [
      'several ranges, exclusions and a gateway, in the order of the ranges',
      {
        cidr: '10.0.0.0/24',
        gateway: '10.0.0.1',
        allocationRanges: [
          { start: '10.0.0.100', end: '10.0.0.109' },
          { start: '10.0.0.10', end: '10.0.0.19' },
        ],
        excludeAddresses: ['10.0.0.12', '10.0.0.104/30', '10.0.0.13-10.0.0.14'],
      },
      [
        '10.0.0.0/24: 10.0.0.100-10.0.0.109 via 10.0.0.1 without 10.0.0.12-10.0.0.14, 10.0.0.104-10.0.0.107',
        '10.0.0.0/24: 10.0.0.10-10.0.0.19 via 10.0.0.1 without 10.0.0.12-10.0.0.14, 10.0.0.104-10.0.0.107',
      ],
    ],
  ])('reads %s', (_, subnet, shown) => {
    expect(setsOf(subnet)).toEqual([shown])
  })
})

describe('netConfig.plan() of a choice', () => {
  const two = {
    name: 'a',
    subnets: [
      { name: 's1', cidr: '10.0.0.0/24' },
      { name: 's2', cidr: '10.0.1.0/24' },
    ],
  }
  const textsOf = (ipam: object, network: string): string[] =>
    planIn('netconfig', ipam, { network })
      .rangeSets.flat()
      .map(({ text }) => text)

  it('takes the first subnet of the only network when nothing is requested', () => {
    expect(textsOf({ networks: [two] }, 'whatever')).toEqual(['10.0.0.0/24'])
    expect(textsOf({ networks: [two], request: [] }, 'whatever')).toEqual(['10.0.0.0/24'])
  })

  it('takes the network that is named like the CNI network, whatever its capitals', () => {
    expect(textsOf({ networks: [two, v6] }, 'B')).toEqual(['fd00::/64'])
  })

  it('takes what is requested, in that order, whatever its capitals', () => {
    const request = [ask('B'), { Name: 'A', SUBNETNAME: 'S2' }]
    expect(textsOf({ networks: [two, v6], request }, 'a')).toEqual(['fd00::/64', '10.0.1.0/24'])
  })
})

describe('netConfig.plan() of a request', () => {
  it('fixes an address, outside the ranges too', () => {
    const networksHere = [
      net('a', {
        cidr: '10.0.0.0/24',
        gateway: '10.0.0.1',
        allocationRanges: [{ start: '10.0.0.9', end: '10.0.0.9' }],
      }),
      v6,
    ]
    const request = [ask('a', { fixedIP: '10.0.0.200' }), ask('b', { fixedIP: 'FD00:0::7' })]
    const plan = planIn('netconfig', { networks: networksHere, request })
    expect(plan.rangeSets).toEqual([])
    expect(shownFixed(plan)).toEqual(['10.0.0.200/24 via 10.0.0.1 in default', 'fd00::7/64 via fd00::1 in default'])
  })

  it('gives one address of each, fixed or not', () => {
    const plan = planIn('netconfig', { networks: [v4, v6], request: [ask('a'), ask('b', { fixedIP: 'fd00::7' })] })
    expect(shownSets(plan)).toEqual([['10.0.0.0/24: 10.0.0.1-10.0.0.254 via 10.0.0.1']])
    expect(shownFixed(plan)).toEqual(['fd00::7/64 via fd00::1 in default'])
  })

  it('adds a default route for each family that asks for one', () => {
    const request = [ask('a', { defaultRoute: true }), ask('b', { defaultRoute: true })]
    expect(planIn('netconfig', { networks: [v4, v6], request }).routes).toEqual([
      { dst: '0.0.0.0/0', gw: '10.0.0.1' },
      { dst: '::/0', gw: 'fd00::1' },
    ])
    expect(planIn('netconfig', { networks: [v4, v6], request: [ask('a'), ask('b')] }).routes).toEqual([])
  })

  it.each([
    [{ dnsDomain: 'net.example' }, { dnsDomain: 'sub.example' }, { domain: 'sub.example' }],
    [{ dnsDomain: 'net.example' }, {}, { domain: 'net.example' }],
    [{}, {}, {}],
  ])('has the dns domain of the subnet, else of the network: %j and %j', (network, subnet, dns) => {
    const plan = planIn('netconfig', { networks: [net('a', { cidr: '10.0.0.0/24', ...subnet }, network)] })
    expect(plan.dns).toEqual(dns)
  })

  it('has the dns domain of the first that has one', () => {
    const networksHere = [
      v4,
      net('b', { cidr: 'fd00::/64', dnsDomain: 'b.example' }),
      net('c', { cidr: '10.1.0.0/24', dnsDomain: 'c.example' }),
    ]
    const request = [ask('a'), ask('c'), ask('b')]
    expect(planIn('netconfig', { networks: networksHere, request }).dns).toEqual({ domain: 'c.example' })
  })

  it.each<[string, object, object, object]>([
    ['none says anything', {}, {}, {}],
    ['one says it', { mtu: 9000 }, { vlan: 20 }, { mtuBytes: 9000, vlan: 20 }],
    ['the MTU is 0, which leaves the choice to the plugin', { mtu: 0 }, { vlan: 0 }, { vlan: 0 }],
    ['the VLAN is the last one', {}, { vlan: 4094 }, { vlan: 4094 }],
  ])('tells the link its MTU and VLAN when %s', (_, network, subnet, link) => {
    const networksHere = [net('a', { cidr: '10.0.0.0/24', ...subnet }, network), v6]
    expect(planIn('netconfig', { networks: networksHere, request: [ask('a'), ask('b')] }).link).toEqual(link)
  })

  it('tells the link what several say alike', () => {
    const networksHere = [
      net('a', { cidr: '10.0.0.0/24', vlan: 20 }, { mtu: 9000 }),
      net('b', { cidr: 'fd00::/64', vlan: 20 }, { mtu: 9000 }),
    ]
    expect(planIn('netconfig', { networks: networksHere, request: [ask('b'), ask('a')] }).link).toEqual({
      mtuBytes: 9000,
      vlan: 20,
    })
  })
})
