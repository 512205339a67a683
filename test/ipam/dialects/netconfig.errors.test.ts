import { describe, expect, it } from 'vitest'
import { fixture, refusalIn } from './shown.ts'

const cidr = '10.0.0.0/24'
const subnet = (more: object = {}): object => ({ name: 's', cidr, ...more })
const network = (...subnets: object[]): object => ({ name: 'a', subnets })
const of = (more: object): object => ({ networks: [network(subnet(more))] })
const other = { name: 'b', subnets: [{ name: 't', cidr: '10.1.0.0/24', gateway: '10.1.0.1' }] }
const at = '"ipam.networks.0.subnets.0'
const outside = `lies outside the range ${cidr}`

describe('netConfig.plan() of networks', () => {
  it.each<[object, string]>([
    [{}, '"ipam.networks": nothing: must be array'],
    [{ networks: {} }, '"ipam.networks": {}: must be array'],
    [{ networks: [] }, '"ipam.networks": []: names no network'],
    [{ networks: [5] }, '"ipam.networks.0": 5: must be an object'],
    [{ networks: [{ subnets: [] }] }, '"ipam.networks.0.name": nothing: must be string'],
    [{ networks: [{ name: 'a' }] }, '"ipam.networks.0.subnets": nothing: must be array'],
    [{ networks: [network()] }, '"ipam.networks.0.subnets": []: names no subnet'],
    [{ networks: [{ name: '', subnets: [subnet()] }] }, '"ipam.networks.0.name": "": must not be empty'],
    [{ networks: [{ name: 'a', mtu: -1, subnets: [subnet()] }] }, '"ipam.networks.0.mtu": -1: must be 0 or more'],
    [
      { networks: [network(subnet()), { ...other, name: 'A' }] },
      '"ipam.networks.1.name": "A": is the name of "ipam.networks.0" too',
    ],
    [{ networks: [network(subnet({ name: '' }))] }, `${at}.name": "": must not be empty`],
    [
      { networks: [network(subnet(), { name: 'S', cidr: '10.1.0.0/24' })] },
      '"ipam.networks.0.subnets.1.name": "S": is the name of "ipam.networks.0.subnets.0" too',
    ],
    [
      { networks: [network(subnet(), { name: 't', cidr: '10.0.0.9/24' })] },
      '"ipam.networks.0.subnets.1.cidr": "10.0.0.0/24": is the subnet of "ipam.networks.0.subnets.0" too',
    ],
    [
      { networks: [network(subnet()), { name: 'b', subnets: [subnet()] }] },
      '"ipam.networks.1.subnets.0.cidr": "10.0.0.0/24": is the subnet of "ipam.networks.0.subnets.0" too',
    ],
    [of({ cidr: undefined }), `${at}.cidr": nothing: must be string`],
    [of({ cidr: '10.0.0.0' }), `${at}.cidr": "10.0.0.0": is not "address/prefix"`],
    [of({ vlan: 4095 }), `${at}.vlan": 4095: must be 4094 or less`],
    [of({ vlan: -1 }), `${at}.vlan": -1: must be 0 or more`],
    [of({ vlan: '20' }), `${at}.vlan": "20": must be number`],
    [of({ gateway: 'x' }), `${at}.gateway": "x": is not an IP address`],
    [of({ gateway: '10.1.0.1' }), `${at}.gateway": "10.1.0.1": ${outside}`],
    [of({ gateway: 'fd00::1' }), `${at}.gateway": "fd00::1": ${outside}`],
    [of({ excludeAddresses: ['10.0.0.9', '10.1.0.9'] }), `${at}.excludeAddresses.1": "10.1.0.9": ${outside}`],
    [of({ excludeAddresses: ['fd00::1'] }), `${at}.excludeAddresses.0": "fd00::1": ${outside}`],
    [of({ excludeAddresses: ['10.0.0.0/16'] }), `${at}.excludeAddresses.0": "10.0.0.0/16": ${outside}`],
    [of({ excludeAddresses: ['x'] }), `${at}.excludeAddresses.0": "x": is neither an address`],
    [of({ allocationRanges: [{ start: '10.0.0.1' }] }), `${at}.allocationRanges.0.end": nothing: must be string`],
    [of({ allocationRanges: [{ start: '', end: '10.0.0.1' }] }), `${at}.allocationRanges.0.start": "": is not an IP`],
    [of({ allocationRanges: [{ start: '10.0.0.1', end: '' }] }), `${at}.allocationRanges.0.end": "": is not an IP`],
    [of({ allocationRanges: [{ start: 'x', end: '10.0.0.1' }] }), `${at}.allocationRanges.0.start": "x": is not an IP`],
    [
      of({ allocationRanges: [{ start: '10.1.0.1', end: '10.0.0.9' }] }),
      `${at}.allocationRanges.0.start": "10.1.0.1": ${outside}`,
    ],
    [
      of({ allocationRanges: [{ start: '10.0.0.1', end: 'fd00::1' }] }),
      `${at}.allocationRanges.0.end": "fd00::1": ${outside}`,
    ],
    [
      of({ allocationRanges: [{ start: '10.0.0.9', end: '10.0.0.8' }] }),
      `${at}.allocationRanges.0.end": "10.0.0.8": comes before the first address "10.0.0.9"`,
    ],
    [
      of({ routes: [{ destination: 'x', nexthop: '10.0.0.1' }] }),
      `${at}.routes.0.destination": "x": is not "address/prefix"`,
    ],
    [of({ routes: [{ destination: '10.9.0.0/16' }] }), `${at}.routes.0.nexthop": nothing: must be string`],
    [
      of({ routes: [{ destination: '10.9.0.0/16', nexthop: '' }] }),
      `${at}.routes.0.nexthop": "": is not an IP address`,
    ],
    [
      of({ routes: [{ destination: '10.9.0.0/16', nexthop: '10.1.0.1' }] }),
      `${at}.routes.0.nexthop": "10.1.0.1": ${outside}`,
    ],
    [
      of({ routes: [{ destination: 'fd00::/8', nexthop: '10.0.0.1' }] }),
      `${at}.routes.0.nexthop": "10.0.0.1": is not of the family of "fd00::/8"`,
    ],
  ])('names the key and quotes the value when given %j', (ipam, message) => {
    expect(refusalIn('netconfig', ipam)).toContain(message)
  })

  it('refuses a mistake in a network that is not requested', () => {
    const networks = [network(subnet()), { name: 'b', subnets: [{ name: 't', cidr: 'x' }] }]
    const request = [{ name: 'a', subnetName: 's' }]
    expect(refusalIn('netconfig', { networks, request })).toContain('"ipam.networks.1.subnets.0.cidr": "x"')
  })
})

describe('netConfig.plan() of a request', () => {
  const routes = [{ destination: '10.9.0.0/16', nexthop: '10.0.0.2' }]
  const networks = [network(subnet({ excludeAddresses: ['10.0.0.9'], routes })), other]
  const ask = (more: object = {}): object => ({ name: 'a', subnetName: 's', ...more })
  const askOther = { name: 'B', subnetName: 'T', defaultRoute: true }

  it.each<[object[], string]>([
    [[{}], '"ipam.request.0.name": nothing: must be string'],
    [[{ name: 'a' }], '"ipam.request.0.subnetName": nothing: must be string'],
    [[ask({ name: 'c' })], '"ipam.request.0.name": "c": is none of the networks a, b'],
    [[ask({ subnetName: 't' })], '"ipam.request.0.subnetName": "t": is none of the subnets s'],
    [[ask(), askOther, ask({ name: 'A' })], '"ipam.request.2.name": "A": is requested twice'],
    [[ask({ fixedIP: 'x' })], '"ipam.request.0.fixedIP": "x": is not an IP address'],
    [[ask({ fixedIP: '10.0.0.7/24' })], '"ipam.request.0.fixedIP": "10.0.0.7/24": is not an IP address'],
    [[ask({ fixedIP: '10.1.0.7' })], `"ipam.request.0.fixedIP": "10.1.0.7": ${outside}`],
    [[ask({ fixedIP: 'fd00::7' })], `"ipam.request.0.fixedIP": "fd00::7": ${outside}`],
    [[ask({ fixedIP: '10.0.0.9' })], `"ipam.request.0.fixedIP": "10.0.0.9": is excluded from ${cidr}`],
    [[ask({ fixedIP: '10.0.0.2' })], '"ipam.request.0.fixedIP": "10.0.0.2": is the address of a gateway'],
    [[{ ...askOther, fixedIP: '10.1.0.1' }], '"ipam.request.0.fixedIP": "10.1.0.1": is the address of a gateway'],
    [
      [ask({ fixedIP: '10.0.0.255' })],
      `"ipam.request.0.fixedIP": "10.0.0.255": is the network or broadcast address of ${cidr}`,
    ],
    [[ask({ defaultRoute: true })], '"ipam.request.0.defaultRoute": true: subnet "s" of network "a" has no gateway'],
    [[ask({ defaultRoute: 'yes' })], '"ipam.request.0.defaultRoute": "yes": must be boolean'],
  ])('names the key and quotes the value when given %j', (request, message) => {
    expect(refusalIn('netconfig', { networks, request })).toContain(message)
  })

  it('refuses a second default route of a family', () => {
    const third = { name: 'c', subnets: [{ name: 'u', cidr: '10.2.0.0/24', gateway: '10.2.0.1' }] }
    const request = [askOther, { name: 'c', subnetName: 'u', defaultRoute: true }]
    expect(refusalIn('netconfig', { networks: [...networks, third], request })).toBe(
      'Cannot read "ipam.request.1.defaultRoute": true: network "b" has the default route of IPv4 already',
    )
  })

  it.each([
    ['mtu', { mtu: 1500 }, { mtu: 9000 }, {}, {}, '"ipam.networks.1.mtu": 9000', 1500],
    ['vlan', {}, {}, { vlan: 20 }, { vlan: 0 }, '"ipam.networks.1.subnets.0.vlan": 0', 20],
  ])('names both when they disagree about the %s', (_, netA, netB, subnetA, subnetB, place, first) => {
    const disagreeing = [
      { name: 'a', ...netA, subnets: [subnet(subnetA)] },
      { name: 'b', ...netB, subnets: [{ name: 't', cidr: '10.1.0.0/24', ...subnetB }] },
    ]
    const request = [ask(), { name: 'b', subnetName: 't' }]
    expect(refusalIn('netconfig', { networks: disagreeing, request })).toBe(
      `Cannot read ${place}: network "b" cannot share a link with "a", which has ${first}`,
    )
  })

  it('lists the networks when none is requested and none is named like the CNI network', () => {
    const { spec } = Object(fixture('netconfig'))
    expect(refusalIn('netconfig', spec, { network: 'other' })).toBe(
      'Cannot read "ipam.request": []: network "other" is none of the networks CtlPlane, InternalApi, External, Storage, ' +
        'StorageMgmt, Tenant, so one must be requested',
    )
  })

  it('refuses what the IPSet of the users requests for one link', () => {
    const { spec } = Object(fixture('ipset'))
    const ipam = { ...Object(Object(fixture('netconfig')).spec), request: spec.networks }
    expect(refusalIn('netconfig', ipam)).toBe(
      'Cannot read "ipam.networks.3.subnets.0.vlan": 30: network "Storage" cannot share a link with "InternalApi", which has 20',
    )
  })
})
