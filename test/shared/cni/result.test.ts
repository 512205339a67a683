import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseResult, type Result, renderResult, versionCarriesNoAddress } from '../../../shared/cni/result.ts'
import { type CniVersion, supportedVersions } from '../../../shared/cni/versions.ts'
import { failureOf } from '../failures.ts'

const dualStack: Result = {
  interfaces: [
    {
      name: 'net1',
      mac: '02:00:00:00:00:01',
      mtu: 1400,
      sandbox: '/run/netns/pod-1',
      socketPath: '/run/vhost/1',
      pciID: '0000:3b:02.1',
    },
  ],
  ips: [
    { address: '10.0.0.7/24', gateway: '10.0.0.1', interface: 0 },
    { address: 'fd00::7/64', gateway: 'fd00::1', interface: 0 },
  ],
  routes: [
    { dst: '0.0.0.0/0', gw: '10.0.0.254', mtu: 1300, advmss: 1200, priority: 5, table: 100, scope: 0 },
    { dst: '::/0', gw: 'fd00::fe' },
    { dst: '10.9.0.0/16' },
  ],
  dns: { nameservers: ['10.0.0.53'], domain: 'example.org', search: ['a', 'b'], options: ['ndots:2'] },
}
const layer2: Result = { interfaces: [{ name: 'net1' }], ips: [], routes: [], dns: {} }
const bare: Result = { interfaces: [], ips: [{ address: '10.0.0.7/24' }], routes: [], dns: {} }

const render = (result: Result, version: CniVersion): unknown => JSON.parse(renderResult(result, version))

const { dns } = dualStack
const ip4 = {
  ip: '10.0.0.7/24',
  gateway: '10.0.0.1',
  routes: [{ dst: '0.0.0.0/0', gw: '10.0.0.254' }, { dst: '10.9.0.0/16' }],
}
const ip6 = { ip: 'fd00::7/64', gateway: 'fd00::1', routes: [{ dst: '::/0', gw: 'fd00::fe' }] }
const olderInterfaces = [{ name: 'net1', mac: '02:00:00:00:00:01', sandbox: '/run/netns/pod-1' }]
const versionedIps = [
  { version: '4', ...dualStack.ips[0] },
  { version: '6', ...dualStack.ips[1] },
]

const renderings: readonly [CniVersion, object][] = [
  ['0.1.0', { ip4, ip6, dns }],
  ['0.2.0', { ip4, ip6, dns }],
  ['0.3.0', { interfaces: olderInterfaces, ips: versionedIps, routes: dualStack.routes, dns }],
  ['0.3.1', { interfaces: olderInterfaces, ips: versionedIps, routes: dualStack.routes, dns }],
  ['0.4.0', { interfaces: olderInterfaces, ips: versionedIps, routes: dualStack.routes, dns }],
  ['1.0.0', { interfaces: olderInterfaces, ips: dualStack.ips, routes: dualStack.routes, dns }],
  ['1.1.0', { ...dualStack }],
]

describe('renderResult()', () => {
  it.each(renderings)('gives %s what it knows and leaves the rest out', (version, rendering) => {
    expect(render(dualStack, version)).toEqual({ cniVersion: version, ...rendering })
  })

  it('has a case for every version', () => {
    expect(renderings.map(([version]) => version)).toEqual([...supportedVersions])
  })

  it.each<[CniVersion, object]>([
    ['0.1.0', { ip4: { ip: '10.0.0.7/24' }, dns: {} }],
    ['0.2.0', { ip4: { ip: '10.0.0.7/24' }, dns: {} }],
    ['0.3.0', { ips: [{ version: '4', address: '10.0.0.7/24' }], dns: {} }],
    ['0.3.1', { ips: [{ version: '4', address: '10.0.0.7/24' }], dns: {} }],
    ['0.4.0', { ips: [{ version: '4', address: '10.0.0.7/24' }], dns: {} }],
    ['1.0.0', { ips: [{ address: '10.0.0.7/24' }] }],
    ['1.1.0', { ips: [{ address: '10.0.0.7/24' }] }],
  ])('omits in %s what is empty, but dns only from 1.0.0 on', (version, rendering) => {
    expect(render(bare, version)).toEqual({ cniVersion: version, ...rendering })
  })

  it.each(['0.1.0', '0.2.0'] as const)('refuses in %s a result without an address', (version) => {
    const { errorName, message } = failureOf(() => renderResult(layer2, version))
    expect(errorName).toBe('ERR_CONFIG')
    expect(message).toContain('no valid IP addresses')
  })

  it('carries no address from the version on that versionCarriesNoAddress() says', () => {
    const carrying = supportedVersions.filter(versionCarriesNoAddress)
    expect(carrying).toEqual(['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'])
    for (const version of carrying) expect(render(layer2, version)).toMatchObject({ interfaces: [{ name: 'net1' }] })
  })

  it.each(['0.1.0', '0.2.0'] as const)('gives in %s the first address of each family', (version) => {
    const more = [...dualStack.ips, { address: '10.0.1.7/24' }, { address: 'fd01::7/64' }]
    expect(render({ ...dualStack, ips: more }, version)).toEqual({ cniVersion: version, ip4, ip6, dns })
    const only6 = { ...dualStack, ips: more.slice(1, 2) }
    expect(render(only6, version)).toEqual({ cniVersion: version, ip6, dns })
  })

  it('indents by four spaces and ends without a newline, as the reference does', () => {
    const text = renderResult(bare, '1.0.0')
    expect(text).toMatch(/^\{\n {4}"cniVersion": "1.0.0",\n {4}"ips"/)
    expect(text.endsWith('}')).toBe(true)
  })
})

describe('parseResult()', () => {
  it.each(renderings)('reads back what %s can say', (version, rendering) => {
    const raw = { cniVersion: version, ...rendering }
    const again = parseResult(raw, '1.1.0')
    expect(render(again, version)).toEqual(raw)
  })

  it('reads the whole of a result of the newest version', () => {
    expect(parseResult({ cniVersion: '1.1.0', ...dualStack }, '0.1.0')).toEqual(dualStack)
  })

  it('reads both halves of a result of 0.2.0', () => {
    const read = parseResult({ cniVersion: '0.2.0', ip4, ip6, dns }, '1.1.0')
    expect(read).toEqual({
      interfaces: [],
      ips: dualStack.ips.map(({ address, gateway }) => ({ address, gateway })),
      routes: [...ip4.routes, ...ip6.routes],
      dns,
    })
  })

  it.each<[CniVersion, object]>([
    ['0.2.0', { ip4: { ip: '10.0.0.7/24' } }],
    ['0.4.0', { ips: [{ version: '4', address: '10.0.0.7/24' }] }],
    ['1.1.0', { ips: [{ address: '10.0.0.7/24' }] }],
  ])('takes a result without a version for one of the config, %s', (version, raw) => {
    expect(parseResult(raw, version)).toEqual(bare)
  })

  it('folds keys, takes null for absence and drops keys it does not know', () => {
    const raw = { CNIVersion: '1.1.0', IPs: [{ Address: '10.0.0.7/24', gateway: null, x: 1 }], routes: null, code: 5 }
    expect(parseResult(raw, '0.1.0')).toEqual(bare)
  })

  it('reads an empty result', () => {
    expect(parseResult({}, '1.1.0')).toEqual({ interfaces: [], ips: [], routes: [], dns: {} })
    expect(parseResult({}, '0.2.0')).toEqual({ interfaces: [], ips: [], routes: [], dns: {} })
  })

  it('refuses a version it does not speak', () => {
    const { errorName, code, message } = failureOf(() => parseResult({ cniVersion: '2.0.0' }, '1.1.0'))
    expect([errorName, code]).toEqual(['ERR_DECODE', 6])
    expect(message).toBe('could not parse prevResult: unsupported cniVersion "2.0.0"')
  })

  it.each<[string, unknown, string]>([
    ['a list', [], 'Cannot read "prevResult": []: must be an object'],
    ['nothing', undefined, 'Cannot read "prevResult": nothing: must be an object'],
    [
      'an address that is no text',
      { ips: [{ address: 7 }] },
      'Cannot read "prevResult.ips.0.address": 7: must be string',
    ],
    [
      'an interface without a name',
      { interfaces: [{}] },
      'Cannot read "prevResult.interfaces.0.name": nothing: must be string',
    ],
    [
      'a fraction',
      { routes: [{ dst: '::/0', mtu: 1400.5 }] },
      'Cannot read "prevResult.routes.0.mtu": 1400.5: must be a whole number',
    ],
    [
      'less than nothing',
      { routes: [{ dst: '::/0', table: -1 }] },
      'Cannot read "prevResult.routes.0.table": -1: must be 0 or more',
    ],
    [
      'more than 32 bits',
      { interfaces: [{ name: 'a', mtu: 4294967296 }] },
      'Cannot read "prevResult.interfaces.0.mtu": 4294967296: must be 4294967295 or less',
    ],
    [
      'a scope of more than a byte',
      { routes: [{ dst: '::/0', scope: 256 }] },
      'Cannot read "prevResult.routes.0.scope": 256: must be 255 or less',
    ],
    ['a route that is a text', { routes: ['x'] }, 'Cannot read "prevResult.routes.0": "x": must be an object'],
  ])('names what is wrong when given %s', (_, raw, message) => {
    expect(failureOf(() => parseResult(raw, '1.0.0')).message).toBe(message)
  })

  it('names the origin it is told', () => {
    const { message } = failureOf(() => parseResult({ ips: {} }, '1.0.0', 'result of IPAM "x"'))
    expect(message).toBe('Cannot read "result of IPAM "x".ips": {}: must be array')
  })

  it('takes an empty version for none, as the reference does', () => {
    expect(parseResult({ cniVersion: '', ips: [{ address: '10.0.0.7/24' }] }, '1.1.0')).toEqual(bare)
  })
})

const text = fc.string({ minLength: 1, maxLength: 12 })
const count = fc.nat(70_000)
const interfaces = fc.record({ name: text, mac: text, mtu: count, sandbox: text }, { requiredKeys: ['name'] })
const ips = fc.record({ address: text, gateway: text, interface: count }, { requiredKeys: ['address'] })
const routes = fc.record({ dst: text, gw: text, mtu: count, priority: count, table: count }, { requiredKeys: ['dst'] })
const results: fc.Arbitrary<Result> = fc.record({
  interfaces: fc.array(interfaces, { maxLength: 3 }),
  ips: fc.array(ips, { maxLength: 3 }),
  routes: fc.array(routes, { maxLength: 3 }),
  dns: fc.record({ nameservers: fc.array(text), domain: text }, { requiredKeys: [] }),
})

describe('parseResult() of renderResult()', () => {
  it('is the same result again when the version is the newest', () => {
    fc.assert(
      fc.property(results, (result) => {
        expect(parseResult(render(result, '1.1.0'), '0.1.0')).toEqual(result)
      }),
    )
  })

  it.each(['0.3.0', '0.3.1', '0.4.0', '1.0.0'] as const)('loses in %s only what came later', (version) => {
    fc.assert(
      fc.property(results, (result) => {
        expect(parseResult(render(result, version), '0.1.0')).toEqual({
          ...result,
          interfaces: result.interfaces.map(({ name, mac, sandbox }) => ({ name, mac, sandbox })),
        })
      }),
    )
  })
})
