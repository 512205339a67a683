import { writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Deps } from '../../../plugins/deps.ts'
import { ipamPlugin } from '../../../plugins/ipam/plugin.ts'
import { oneShotDeps } from '../../../plugins/one-shot.ts'
import type { Environment } from '../../../shared/cni/request.ts'
import { requestOf } from '../../shared/cni/requests.ts'
import { temporaryDirectory } from '../../shared/temporary.ts'
import { answerTo, callOf } from '../calls.ts'

let dataDir: string
let deps: Deps
beforeEach(() => {
  dataDir = temporaryDirectory()
  deps = oneShotDeps({ BERTH_DATA_DIR: dataDir })
})

// An IPAM changes no namespace, so the test's own will do once it is said to be meant.
const own = { CNI_NETNS: '/proc/self/ns/net', CNI_NETNS_OVERRIDE: '1' }
const ipam = { type: 'berth-ipam', range: '10.0.0.0/30' }

const call = (CNI_COMMAND: string, config: object = {}, environment: Environment = {}) =>
  answerTo(callOf('berth-ipam', { ...own, CNI_COMMAND, ...environment }, { ipam, ...config }), deps)
const listed = (): string[] => deps.store.list().records.flatMap(({ leases }) => leases.map(({ address }) => address))

const success = { exitCode: 0, stdout: '', json: undefined }

describe('berth-ipam ADD', () => {
  it('answers with an address and no interface, and with the same one again', async () => {
    const first = await call('ADD')
    expect([first.exitCode, first.json]).toEqual([0, { cniVersion: '1.1.0', ips: [{ address: '10.0.0.1/30' }] }])
    expect(await call('ADD')).toEqual(first)
    expect(listed()).toEqual(['10.0.0.1/30'])
  })

  it('answers in the version of the config', async () => {
    const { json } = await call('ADD', { cniVersion: '0.2.0' })
    expect(json).toEqual({ cniVersion: '0.2.0', ip4: { ip: '10.0.0.1/30' }, dns: {} })
  })

  it('answers with what the config says of gateway, routes and dns', async () => {
    const more = { gateway: '10.0.0.2', routes: [{ dst: '0.0.0.0/0', mtu: 1400 }], dns: { search: ['a'] } }
    const { json } = await call('ADD', { ipam: { ...ipam, ...more } })
    expect(json).toEqual({
      cniVersion: '1.1.0',
      ips: [{ address: '10.0.0.1/30', gateway: '10.0.0.2' }],
      routes: more.routes,
      dns: more.dns,
    })
  })

  it('grants what is asked for, and then says who has it', async () => {
    const runtimeConfig = { ips: ['10.0.0.2'] }
    expect((await call('ADD', { runtimeConfig })).json).toMatchObject({ ips: [{ address: '10.0.0.2/30' }] })
    const { exitCode, json } = await call('ADD', { runtimeConfig }, { CNI_CONTAINERID: 'ctr-2' })
    expect([exitCode, json]).toEqual([
      1,
      { cniVersion: '1.1.0', code: 101, msg: 'Cannot claim "10.0.0.2": held by "ctr-1/net1" of network "storage"' },
    ])
  })

  it('fails with code 100 when the range is full', async () => {
    for (const CNI_IFNAME of ['a', 'b']) expect((await call('ADD', {}, { CNI_IFNAME })).exitCode).toBe(0)
    const { json } = await call('ADD')
    expect(json).toMatchObject({ code: 100, msg: expect.stringContaining('"10.0.0.0/30"') })
    expect(listed().sort()).toEqual(['10.0.0.1/30', '10.0.0.2/30'])
  })

  it.each<[string, object, Environment, number]>([
    ['no ipam', { ipam: undefined }, {}, 7],
    ['a range that is none', { ipam: { range: 'x' } }, {}, 7],
    [
      'two addresses of a family in a version that has room for one',
      { cniVersion: '0.2.0', ipam: { ipRanges: [{ range: '10.0.0.0/24' }, { range: '10.1.0.0/24' }] } },
      {},
      7,
    ],
    ['the own namespace, unless that is meant', {}, { CNI_NETNS_OVERRIDE: '0' }, 8],
  ])('refuses %s and claims nothing', async (_, config, environment, code) => {
    const { exitCode, json } = await call('ADD', config, environment)
    expect([exitCode, json]).toEqual([1, expect.objectContaining({ code })])
    expect(deps.store.exists()).toBe(false)
  })
})

describe('berth-ipam ADD without a namespace', () => {
  it('leases, because only the main plugin needs one', async () => {
    const { exitCode } = await call('ADD', {}, { CNI_NETNS: '/run/netns/absent' })
    expect(exitCode).toBe(0)
    expect(deps.store.list().records[0]?.netns).toBeUndefined()
  })
})

describe('berth-ipam DEL', () => {
  it('releases the address, and succeeds again when there is none', async () => {
    await call('ADD')
    expect(await call('DEL')).toEqual(success)
    expect(listed()).toEqual([])
    expect(await call('DEL')).toEqual(success)
  })

  it('makes nothing on disk when nothing was ever claimed', async () => {
    expect(await call('DEL')).toEqual(success)
    expect(deps.store.exists()).toBe(false)
  })

  it.each<[string, object, Environment]>([
    ['the ipam object is broken', { ipam: { range: 'x' } }, {}],
    ['prevResult is broken', { prevResult: [] }, {}],
    ['what an ADD asks for is broken', { runtimeConfig: { ips: 5 }, args: [] }, { CNI_ARGS: 'bad' }],
    ['the namespace is gone', {}, { CNI_NETNS: '/run/netns/absent' }],
    ['no namespace is named', {}, { CNI_NETNS: '' }],
  ])('releases the address also when %s', async (_, config, environment) => {
    await call('ADD')
    expect(await call('DEL', config, environment)).toEqual(success)
    expect(listed()).toEqual([])
  })

  it('releases the address also when its record is damaged', async () => {
    await call('ADD')
    writeFileSync(`${dataDir}/leases/storage,ctr-1,net1`, '')
    expect(await call('DEL')).toEqual(success)
    expect((await call('ADD')).json).toMatchObject({ ips: [{ address: '10.0.0.1/30' }] })
  })
})

describe('berth-ipam CHECK', () => {
  const prevResult = { ips: [{ address: '10.0.0.1/30' }] }

  it('succeeds when the lease is there and in prevResult', async () => {
    await call('ADD')
    expect(await call('CHECK', { prevResult })).toEqual(success)
  })

  it.each<[string, boolean, object, number]>([
    ['nothing is recorded', false, { prevResult }, 105],
    ['prevResult has another address', true, { prevResult: { ips: [{ address: '10.0.0.2/30' }] } }, 105],
    ['prevResult is missing', true, {}, 7],
    ['prevResult is of no version we speak', true, { prevResult: { cniVersion: '9.0.0' } }, 6],
  ])('fails when %s', async (_, added, config, code) => {
    if (added) await call('ADD')
    const { exitCode, json } = await call('CHECK', config)
    expect([exitCode, json]).toEqual([1, expect.objectContaining({ code })])
  })
})

describe('berth-ipam GC and STATUS', () => {
  it('keeps in GC what is alive, whatever the list says', async () => {
    await call('ADD')
    expect(await call('GC', { 'cni.dev/valid-attachments': [] })).toEqual(success)
    expect(listed()).toEqual(['10.0.0.1/30'])
  })

  it('says in STATUS that an ADD can be served', async () => {
    expect(await call('STATUS')).toEqual(success)
  })

  it.each<[string, object, boolean, number]>([
    ['there is no ipam', { ipam: undefined }, false, 7],
    ['the range is none', { ipam: { range: 'x' } }, false, 7],
    ['leases cannot be written', {}, true, 50],
  ])('says in STATUS that an ADD cannot be served when %s', async (_, config, blocked, code) => {
    if (blocked) writeFileSync(`${dataDir}/leases`, '')
    const { exitCode, json } = await call('STATUS', config)
    expect([exitCode, json]).toEqual([1, expect.objectContaining({ code })])
  })
})

describe('berth-ipam keys', () => {
  it('warns of those that are nearly known', () => {
    expect(ipamPlugin.keyWarnings(requestOf({ ipam: { ...ipam, excludes: [] } }))).toHaveLength(1)
    expect(ipamPlugin.keyWarnings(requestOf({ ipam }))).toEqual([])
  })

  it('warns of those that are nearly known also when "ipam" is spelled in capitals', () => {
    expect(ipamPlugin.keyWarnings(requestOf({ IPAM: { ...ipam, excludes: [] } }))).toHaveLength(1)
  })
})
