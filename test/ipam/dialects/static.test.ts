import { describe, expect, it } from 'vitest'
import { planIn, refusalIn, shownFixed } from './shown.ts'

describe('static.plan()', () => {
  it('reads addresses, which the network holds, and their gateways', () => {
    const addresses = [{ address: '10.0.0.7/24', gateway: '10.0.0.1' }, { Address: 'fd00::7/64' }]
    const plan = planIn('static', { addresses })
    expect(shownFixed(plan)).toEqual(['10.0.0.7/24 via 10.0.0.1 in net', 'fd00::7/64 via none in net'])
    expect(plan).toMatchObject({ rangeSets: [], space: 'net', routes: [], dns: {}, link: {} })
  })

  it('is empty when there is no address: they may be asked for', () => {
    expect(planIn('static', {})).toMatchObject({ rangeSets: [], fixed: [], space: 'net' })
    expect(planIn('', { type: 'static' }, { network: 'other' })).toMatchObject({ fixed: [], space: 'other' })
  })

  it('passes routes and dns on', () => {
    const routes = [{ dst: '0.0.0.0/0', gw: '10.0.0.1' }, { dst: 'fd00::/8' }]
    const dns = { nameservers: ['10.0.0.53'], domain: 'example.org', search: ['a'], options: ['ndots:2'] }
    expect(planIn('static', { routes, dns })).toMatchObject({ routes, dns })
  })

  it('reads addresses of /31, /32, /127 and /128', () => {
    const addresses = ['10.0.0.0/31', '10.0.0.9/32', 'fd00::/127', 'fd00::9/128'].map((address) => ({ address }))
    expect(shownFixed(planIn('static', { addresses }))).toEqual(
      addresses.map(({ address }) => `${address} via none in net`),
    )
  })

  const address = '10.0.0.7/24'

  it.each<[object, string]>([
    [{ addresses: {} }, '"ipam.addresses": {}: must be array'],
    [{ addresses: [address] }, '"ipam.addresses.0": "10.0.0.7/24": must be an object'],
    [{ addresses: [{}] }, '"ipam.addresses.0.address": nothing: must be string'],
    [{ addresses: [{ address: '10.0.0.7' }] }, '"ipam.addresses.0.address": "10.0.0.7": is not "address/prefix"'],
    [{ addresses: [{ address }, { address: 'x' }] }, '"ipam.addresses.1.address": "x": is not "address/prefix"'],
    [{ addresses: [{ address, gateway: 'x' }] }, '"ipam.addresses.0.gateway": "x": is not an IP address'],
    [{ addresses: [{ address, gateway: 'fd00::1' }] }, '"ipam.addresses.0.gateway": "fd00::1": is not an IPv4 address'],
    [{ addresses: [{ address: 'fd00::7/64', gateway: '10.0.0.1' }] }, '"10.0.0.1": is not an IPv6 address'],
    [{ addresses: [{ address }, { address }] }, '"ipam.addresses.1.address": "10.0.0.7/24": stands there twice'],
    [
      { addresses: [{ address, gateway: '10.0.0.7' }] },
      '"ipam.addresses.0.address": "10.0.0.7/24": is the address of a gateway',
    ],
    [
      { addresses: [{ address }], routes: [{ dst: '0.0.0.0/0', gw: '10.0.0.7' }] },
      '"ipam.addresses.0.address": "10.0.0.7/24": is the address of a gateway',
    ],
    [{ routes: [{ dst: 'default' }] }, '"ipam.routes.0.dst": "default": is not "address/prefix"'],
    [{ routes: [{ dst: '0.0.0.0/0', gw: 'x' }] }, '"ipam.routes.0.gw": "x": is not an IP address'],
    [{ routes: [{ dst: '0.0.0.0/0', gw: 'fd00::1' }] }, '"ipam.routes.0.gw": "fd00::1": is not an IPv4 address'],
    [{ dns: { search: 'x' } }, '"ipam.dns.search": "x": must be array'],
  ])('names the key and quotes the value when given %j', (ipam, message) => {
    expect(refusalIn('static', ipam)).toContain(message)
  })
})
