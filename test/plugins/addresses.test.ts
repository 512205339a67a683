import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import {
  type Addressed,
  checkAddressesReady,
  checkClaim,
  claimFor,
  collectFor,
  planFor,
  release,
} from '../../plugins/addresses.ts'
import type { Deps } from '../../plugins/deps.ts'
import { oneShotDeps } from '../../plugins/one-shot.ts'
import { toCniError } from '../../shared/cni/errors.ts'
import type { Request } from '../../shared/cni/request.ts'
import { type Netns, openNetns } from '../../shared/host/netns.ts'
import { Undo } from '../../shared/undo.ts'
import { requestOf } from '../shared/cni/requests.ts'
import { temporaryDirectory } from '../shared/temporary.ts'

let folder: string
let deps: Deps
let netns: Netns
beforeEach(() => {
  folder = temporaryDirectory()
  deps = oneShotDeps({ PATH: '/usr/bin:/bin', VERBS: `${folder}/verbs`, BERTH_DATA_DIR: folder })
  netns = openNetns('/proc/self/ns/net', true)
  onTestFinished(() => netns[Symbol.dispose]())
})

const link = { index: 1_048_577, mac: '02:00:00:00:00:01' }
const nothing = { interfaces: [], ips: [], routes: [], dns: {} }

/** A foreign IPAM that notes its verbs and does this; its request names it. */
function foreign(script: string, config: object = {}): Request {
  writeFileSync(`${folder}/foreign`, `#!/bin/sh\necho $CNI_COMMAND >> $VERBS\n${script}\n`)
  chmodSync(`${folder}/foreign`, 0o755)
  return requestOf({ ipam: { type: 'foreign' }, ...config }, { CNI_PATH: folder })
}
const verbs = (): string[] => readFileSync(`${folder}/verbs`, 'utf8').trim().split('\n')

/** Acquires, and then fails if it is told to. */
const acquireFor = (request: Request, chosen = link, failure?: Error): Promise<Addressed> =>
  Undo.guard(async (undo) => {
    const addressed = await claimFor(request, deps, planFor(request, deps), netns, chosen, undo)
    if (failure !== undefined) throw failure
    return addressed
  })

const failureOf = async (work: Promise<unknown>) => {
  const thrown = await work.then(
    () => new Error('the call was expected to fail'),
    (error: unknown) => error,
  )
  const { errorName, message } = toCniError(thrown)
  return [errorName, message]
}
const recorded = () => deps.store.list().records

const own = { ipam: { type: 'berth-ipam', range: '10.0.0.0/24' } }
const answer = `echo '{"cniVersion":"1.1.0","ips":[{"address":"10.5.0.5/24","gateway":"10.5.0.1"}]}'`

describe('claimFor()', () => {
  it.each([
    ['no ipam', {}],
    ['an ipam without a type', { ipam: {} }],
    ['an ipam of an empty type', { ipam: { type: '' } }],
  ])('records the attachment without addresses when there is %s', async (_, config) => {
    expect(await acquireFor(requestOf(config))).toEqual({ result: nothing, link, fresh: true })
    expect(recorded()).toMatchObject([{ containerId: 'ctr-1', leases: [], link, netns: { path: netns.path } }])
  })

  it('claims of our own IPAM and records the link with the addresses', async () => {
    const { result } = await acquireFor(requestOf(own))
    expect(result).toEqual({ ...nothing, ips: [{ address: '10.0.0.1/24' }] })
    expect(recorded()).toMatchObject([{ leases: [{ address: '10.0.0.1/24' }], link }])
  })

  it('asks a foreign IPAM and records the attachment without its addresses', async () => {
    const { result } = await acquireFor(foreign(answer))
    expect(result.ips).toEqual([{ address: '10.5.0.5/24', gateway: '10.5.0.1' }])
    expect(recorded()).toMatchObject([{ leases: [], link }])
    expect(verbs()).toEqual(['ADD'])
  })

  it('answers with the recorded link when the attachment was claimed before', async () => {
    await acquireFor(requestOf(own))
    const again = await acquireFor(requestOf(own), { index: 1_048_999, mac: '02:00:00:00:00:99' })
    expect(again.link).toEqual(link)
  })

  const failure = new Error('the kernel said no')

  it('is taken back when a later step fails, but not what an earlier call had claimed', async () => {
    await expect(acquireFor(requestOf(own), link, failure)).rejects.toBe(failure)
    expect(recorded()).toEqual([])
    await acquireFor(requestOf(own))
    await expect(acquireFor(requestOf(own), link, failure)).rejects.toBe(failure)
    expect(recorded()).toHaveLength(1)
  })

  it('tells a foreign IPAM to take back what it did when a later step fails', async () => {
    await expect(acquireFor(foreign(answer), link, failure)).rejects.toBe(failure)
    expect([verbs(), recorded()]).toEqual([['ADD', 'DEL'], []])
  })

  it('leaves the foreign IPAM alone when a later step of a repeated call fails', async () => {
    await acquireFor(foreign(answer))
    await expect(acquireFor(foreign(answer), link, failure)).rejects.toBe(failure)
    expect([verbs(), recorded().length]).toEqual([['ADD', 'ADD'], 1])
  })

  it.each([
    ['fails', 'exit 1', 'Plugin "foreign" failed: exit code 1'],
    ['answers without an address', `echo '{"cniVersion":"1.1.0"}'`, 'IPAM plugin "foreign" returned missing IP config'],
    ['answers no JSON', 'echo hello', 'Cannot read the result of IPAM "foreign": not JSON'],
  ])('tells a foreign IPAM to clean up and forgets the attachment when it %s', async (_, script, message) => {
    expect(await failureOf(acquireFor(foreign(script)))).toEqual(['ERR_DELEGATE', message])
    expect([verbs(), recorded()]).toEqual([['ADD', 'DEL'], []])
  })

  it('names the foreign IPAM when its result cannot be read', async () => {
    const request = foreign(`echo '{"cniVersion":"1.1.0","ips":[{"address":5}]}'`)
    expect(await failureOf(acquireFor(request))).toEqual([
      'ERR_CONFIG',
      'Cannot read "result of IPAM "foreign".ips.0.address": 5: must be string',
    ])
  })
})

describe('planFor()', () => {
  const netConfig = (vlan: number) => ({
    ipam: { type: 'berth-ipam', networks: [{ name: 'a', subnets: [{ name: 's', cidr: '10.0.0.0/24', vlan }] }] },
  })

  it.each([0, 20])('says that the network is one of VLAN %i', (vlan) => {
    expect(planFor(requestOf(netConfig(vlan)), deps)).toMatchObject({ rangeSets: [expect.anything()], link: { vlan } })
  })
})

describe('release()', () => {
  it('releases what our own IPAM gave', async () => {
    await acquireFor(requestOf(own))
    await release(requestOf(own), deps)
    expect(recorded()).toEqual([])
  })

  it('tells the foreign IPAM first and forgets the attachment then', async () => {
    await acquireFor(foreign(answer))
    await release(foreign(''), deps)
    expect([verbs(), recorded()]).toEqual([['ADD', 'DEL'], []])
  })

  it('keeps the record for a retry when the foreign IPAM fails', async () => {
    await acquireFor(foreign(answer))
    expect(await failureOf(release(foreign('exit 1'), deps))).toEqual([
      'ERR_DELEGATE',
      'Plugin "foreign" failed: exit code 1',
    ])
    expect(recorded()).toHaveLength(1)
  })
})

describe('the other verbs', () => {
  it('are passed on to a foreign IPAM', async () => {
    const request = foreign('')
    await checkClaim(request, deps, nothing)
    await collectFor(request, deps)
    await checkAddressesReady(request, deps)
    expect(verbs()).toEqual(['CHECK', 'GC', 'STATUS'])
  })

  it.each<[string, (request: Request) => Promise<void>]>([
    ['CHECK', (request) => checkClaim(request, deps, nothing)],
    ['GC', (request) => collectFor(request, deps)],
    ['STATUS', (request) => checkAddressesReady(request, deps)],
  ])('fail in %s when the foreign IPAM fails', async (_, call) => {
    expect(await failureOf(call(foreign('exit 1')))).toEqual(['ERR_DELEGATE', 'Plugin "foreign" failed: exit code 1'])
  })

  it('check nothing in CHECK when there is no ipam', async () => {
    await expect(checkClaim(requestOf(), deps, nothing)).resolves.toBeUndefined()
  })

  it('say in STATUS that our own IPAM cannot serve, and nothing of what is attached, when its range is full', async () => {
    const full = { ipam: { type: 'berth-ipam', range: '10.0.0.0/24', range_start: '10.0.0.9', range_end: '10.0.0.9' } }
    await expect(checkAddressesReady(requestOf(full), deps)).resolves.toBeUndefined()
    await acquireFor(requestOf(full))
    const [name, message] = await failureOf(checkAddressesReady(requestOf(full), deps))
    expect([name, message]).toEqual(['ERR_UNAVAILABLE', expect.stringContaining('10.0.0.9')])
  })

  it('say in STATUS that our own IPAM cannot serve when its range is none', async () => {
    const request = requestOf({ ipam: { type: 'berth-ipam', range: 'x' } })
    expect(await failureOf(checkAddressesReady(request, deps))).toEqual([
      'ERR_CONFIG',
      expect.stringContaining('"ipam.range": "x"'),
    ])
  })
})
