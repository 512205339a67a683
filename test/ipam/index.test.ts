import { statSync, unlinkSync, writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import {
  type AttachmentRecord,
  checkLeases,
  claimAddresses,
  claimOf,
  collect,
  emptyPlan,
  ipamKeyWarnings,
  ipamResult,
  openStore,
  planOf,
  releaseAddresses,
  type Store,
} from '../../ipam/index.ts'
import type { Environment, Request } from '../../shared/cni/request.ts'
import { readBootId } from '../../shared/host/boot.ts'
import { type Netns, openNetns } from '../../shared/host/netns.ts'
import { keyOf, recordOf } from '../contract/records.ts'
import { requestOf } from '../shared/cni/requests.ts'
import { failureOf } from '../shared/failures.ts'
import { temporaryDirectory } from '../shared/temporary.ts'

const ownPath = '/proc/self/ns/net'
const range = '10.0.0.0/24'
const ipam = { type: 'berth-ipam', range }

let dataDir = ''
let store: Store
let netns: Netns
beforeEach(() => {
  dataDir = temporaryDirectory()
  store = openStore(dataDir)
  netns = openNetns(ownPath, true)
  onTestFinished(() => netns[Symbol.dispose]())
})

const addressesOf = ({ leases }: AttachmentRecord): string[] => leases.map(({ address }) => address)
const claimFor = (request: Request) => claimAddresses(store, claimOf(request, planOf(request), netns))
const granted = (config: object, environment: Environment = {}): string[] =>
  addressesOf(claimFor(requestOf({ ipam, ...config }, environment)).record)

describe('planOf()', () => {
  it('reads the "ipam" object, however its key is spelled', () => {
    expect(planOf(requestOf({ IPAM: ipam })).rangeSets).toMatchObject([[{ text: range }]])
  })

  it.each([
    ['absent', {}],
    ['null', { ipam: null }],
  ])('fails with code 7 when it is %s', (_, config) => {
    const failure = failureOf(() => planOf(requestOf(config)))
    expect([failure.code, failure.message]).toEqual([7, "IPAM config missing 'ipam' key"])
  })

  it('reads the exact spelling when there are two', () => {
    const request = requestOf({ IPAM: { type: 'x', range: '10.9.0.0/24' }, ipam })
    expect(request.config.ipam?.type).toBe('berth-ipam')
    expect(planOf(request).rangeSets).toMatchObject([[{ text: range }]])
  })
})

describe('claimAddresses() of claimOf()', () => {
  const runtimeConfig = { ips: ['10.0.0.11'] }
  const args = { cni: { ips: ['10.0.0.12/24'] } }
  const CNI_ARGS = 'IP=10.0.0.13'

  it.each<[string, object, Environment, string]>([
    ['runtimeConfig before all others', { runtimeConfig, args }, { CNI_ARGS }, '10.0.0.11/24'],
    ['args.cni before CNI_ARGS', { args }, { CNI_ARGS }, '10.0.0.12/24'],
    ['CNI_ARGS', {}, { CNI_ARGS }, '10.0.0.13/24'],
    [
      'the next place when one is empty',
      { runtimeConfig: { ips: [] }, args: { cni: { ips: [''] } } },
      { CNI_ARGS },
      '10.0.0.13/24',
    ],
    ['nowhere when all are empty', { runtimeConfig: { ips: [] } }, { CNI_ARGS: 'IP=' }, '10.0.0.1/24'],
  ])('takes the requested address from %s', (_, config, environment, address) => {
    expect(granted(config, environment)).toEqual([address])
  })

  it('takes several addresses from CNI_ARGS', () => {
    const ipRanges = [{ range }, { range: 'fd00::/64' }]
    expect(granted({ ipam: { ipRanges } }, { CNI_ARGS: 'IP=fd00::13,10.0.0.13' })).toEqual([
      '10.0.0.13/24',
      'fd00::13/64',
    ])
  })

  it('quotes a requested address that is none', () => {
    expect(failureOf(() => granted({ runtimeConfig: { ips: ['here'] } })).message).toBe(
      'Cannot claim "here": not an IP address',
    )
  })

  it('fails with code 7 when there is nothing to claim from and nothing is requested', () => {
    const failure = failureOf(() => granted({ ipam: { type: 'berth-ipam' } }))
    expect(failure.code).toBe(7)
    expect(failure.message).toContain(
      'Cannot read "ipam": it has no range and no address, and no address was asked for',
    )
    expect(store.exists()).toBe(false)
  })

  it('grants a requested address when there is nothing else', () => {
    expect(granted({ ipam: { type: 'berth-ipam' }, runtimeConfig: { ips: ['10.7.0.7/16'] } })).toEqual(['10.7.0.7/16'])
  })

  it('records an attachment without addresses and ignores requested ones when the plan is the empty one', () => {
    const { record, fresh } = claimAddresses(store, claimOf(requestOf({ runtimeConfig }), emptyPlan, netns))
    expect([record.leases, fresh]).toEqual([[], true])
  })

  it('records the pod, the namespace and this boot', () => {
    const environment = { CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=pod;K8S_POD_UID=uid' }
    const { dev, ino } = statSync(ownPath)
    expect(claimFor(requestOf({ ipam }, environment)).record).toMatchObject({
      pod: { namespace: 'ns', name: 'pod', uid: 'uid' },
      netns: { path: ownPath, dev, ino },
      bootId: readBootId(),
      claimedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    })
    expect(claimFor(requestOf({ ipam }, { CNI_IFNAME: 'net2' })).record).not.toHaveProperty('pod')
  })
})

describe('ipamResult()', () => {
  it('answers with addresses, routes and dns, and no interfaces', () => {
    const routes = [{ dst: '0.0.0.0/0', gw: '10.0.0.254' }]
    const dns = { nameservers: ['10.0.0.53'] }
    const request = requestOf({ ipam: { ...ipam, gateway: '10.0.0.1', routes, dns } })
    const { record } = claimFor(request)
    expect(ipamResult(record, planOf(request))).toEqual({
      interfaces: [],
      ips: [{ address: '10.0.0.2/24', gateway: '10.0.0.1' }],
      routes,
      dns,
    })
  })
})

describe('checkLeases()', () => {
  const previous = (...addresses: string[]) => ({
    interfaces: [],
    ips: addresses.map((address) => ({ address })),
    routes: [],
    dns: {},
  })

  it('says nothing when prevResult has all leases', () => {
    granted({})
    expect(() => checkLeases(store, requestOf(), previous('fd00::9/64', '10.0.0.1/24'))).not.toThrow()
  })

  it.each([
    [['10.0.0.9/24'], 'prevResult has 10.0.0.9/24'],
    [['10.0.0.1/16'], 'prevResult has 10.0.0.1/16'],
    [[], 'prevResult has no address'],
  ])('names the lease that is missing when prevResult has %j', (addresses, details) => {
    granted({})
    const failure = failureOf(() => checkLeases(store, requestOf(), previous(...addresses)))
    expect([failure.errorName, failure.code, failure.details]).toEqual(['ERR_CHECK', 105, details])
    expect(failure.message).toBe('Lease "10.0.0.1/24" of "ctr-1/net1" of network "storage" is not in prevResult')
  })

  it('says so when nobody holds the address any more', () => {
    granted({})
    unlinkSync(`${dataDir}/leases/10.0.0.1`)
    const failure = failureOf(() => checkLeases(store, requestOf(), previous('10.0.0.1/24')))
    expect(failure.message).toBe('Lease "10.0.0.1/24" of "ctr-1/net1" of network "storage" is held by nobody')
  })

  it('says so when nothing is recorded', () => {
    const failure = failureOf(() => checkLeases(store, requestOf(), previous('10.0.0.1/24')))
    expect([failure.errorName, failure.message]).toEqual([
      'ERR_CHECK',
      'Cannot find a lease of "ctr-1/net1" of network "storage": nothing is recorded',
    ])
  })
})

describe('collect()', () => {
  const gone = { path: '/nowhere', dev: 1, ino: 1 }
  const listed = (): string[] =>
    store
      .list()
      .records.map(({ containerId }) => containerId)
      .sort()
  const gc = (config: object): string[] => collect(store, requestOf(config, { CNI_COMMAND: 'GC' }))
  const attachments = (...containerIds: string[]) => ({
    'cni.dev/valid-attachments': containerIds.map((containerID) => ({ containerID, ifname: 'net1' })),
  })

  beforeEach(() => {
    for (const [index, containerId] of ['a', 'b'].entries()) {
      const record = recordOf(keyOf(containerId), [`10.0.1.${index}/24`], { netns: gone, bootId: readBootId() })
      store.locked(() => store.put([record]))
    }
  })

  it.each<[string, object, string[]]>([
    ['those of the list', attachments('b'), ['b']],
    ['none when the list is empty', attachments(), []],
    ['all when there is no list', {}, ['a', 'b']],
    ['all when the list is null', { 'cni.dev/valid-attachments': null }, ['a', 'b']],
    [
      'none of the same container and another interface',
      { 'cni.dev/valid-attachments': [{ containerID: 'a', ifname: 'net2' }] },
      [],
    ],
  ])('keeps %s', (_, config, kept) => {
    expect(gc(config)).toEqual([])
    expect(listed()).toEqual(kept)
  })

  it('keeps what is not listed and alive, and warns of it', () => {
    claimFor(requestOf({ ipam }))
    expect(gc(attachments())).toEqual([
      'GC keeps "ctr-1/net1" of network "storage": not in the list, but its network namespace is alive',
    ])
    expect(listed()).toEqual(['ctr-1'])
    expect(releaseAddresses(store, keyOf('ctr-1'), new Date())).toBe(true)
  })

  it('warns of 20 that it keeps and of 20 that are damaged, and says how many more there are', () => {
    for (let index = 0; index < 22; index++) {
      claimFor(requestOf({ ipam }, { CNI_CONTAINERID: `ctr-${index}` }))
      writeFileSync(`${dataDir}/leases/other,bad-${index},net1`, 'no record')
    }
    const warnings = gc(attachments())
    expect(warnings).toHaveLength(42)
    expect(warnings[19]).toMatch(/^GC keeps "ctr-\d+\/net1"/)
    expect(warnings[20]).toBe('GC keeps 2 more; "berth leases list" and "check" show all')
    expect(warnings[41]).toBe('GC leaves alone 2 more; "berth leases list" and "check" show all')
    expect(listed()).toHaveLength(22)
  })
})

describe('ipamKeyWarnings()', () => {
  it.each([
    ['rnage', 'range'],
    ['range_strat', 'range_start'],
    ['excludes', 'exclude'],
    ['gatway', 'gateway'],
    ['route', 'routes'],
    ['adresses', 'addresses'],
  ])('warns of %s', (typed, meant) => {
    expect(ipamKeyWarnings(requestOf({ ipam: { ...ipam, [typed]: 1 } }))).toEqual([
      `unknown key "ipam.${typed}" is ignored; did you mean "${meant}"?`,
    ])
  })

  it('goes by the keys of host-local when the config has one of them', () => {
    expect(ipamKeyWarnings(requestOf({ ipam: { type: 'berth-ipam', subnet: range, rangeStrat: 1 } }))).toEqual([
      'unknown key "ipam.rangeStrat" is ignored; did you mean "rangeStart"?',
    ])
  })

  it.each([
    'kubernetes',
    'log_file',
    'log_level',
    'configuration_path',
    'overlapping_ranges',
    'enable_overlapping_ranges',
    'name',
  ])('says nothing of %s', (key) => {
    expect(ipamKeyWarnings(requestOf({ ipam: { ...ipam, [key]: 1 } }))).toEqual([])
  })
})
