import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { FileStore } from '../../ipam/ledger/file-store.ts'
import { samplesOf } from '../agent/http.ts'
import { binaries, Host, ip } from './host.ts'
import { type RunningAgent, startAgent } from './watched.ts'

const usageFreshMs = 5000
const counts = async (agent: RunningAgent): Promise<Record<string, number>> =>
  Object.fromEntries([...(await agent.samples())].filter(([name]) => name.startsWith('berth_calls_total')))
const callsOf = (verb: string, result: string, { door = 'run', plugin = 'berth-macvlan' } = {}): string =>
  `berth_calls_total{door="${door}",plugin="${plugin}",verb="${verb}",result="${result}"}`

test('metrics count calls by door, plugin, verb and result', async () => {
  using host = new Host()
  await using agent = await startAgent(host, { metrics: true })
  const pod = host.pod()
  const config = host.config()
  const added = await agent.call('ADD', pod, config)
  expect(added).toMatchObject({ exitCode: 0, declined: false })
  const withResult = { ...config, prevResult: JSON.parse(added.stdout) }
  expect((await agent.call('CHECK', pod, withResult)).exitCode).toBe(0)
  expect((await agent.call('CHECK', host.pod(), withResult, { path: agent.dataSocketPath })).exitCode).toBe(1)
  expect((await agent.call('ADD', host.pod(), host.config({ master: 'none0' }))).exitCode).toBe(1)
  expect((await agent.call('ADD', host.pod(), 'no JSON')).exitCode).toBe(1)
  const foreign = host.config({ ipam: { type: 'host-local' } })
  expect((await agent.call('ADD', host.pod(), foreign)).declined).toBe(true)
  for (let again = 0; again < 2; again++) expect((await agent.call('DEL', pod, withResult)).exitCode).toBe(0)
  const found = await counts(agent)
  const failed = Object.keys(found).find((name) => name.includes('verb="ADD",result="ERR_') && !name.includes('DECODE'))
  expect(found).toEqual({
    [callsOf('ADD', 'ok')]: 1,
    [callsOf('CHECK', 'ok')]: 1,
    [callsOf('CHECK', 'ERR_CHECK', { door: 'data' })]: 1,
    [callsOf('ADD', 'ERR_DECODE')]: 1,
    [callsOf('ADD', 'declined')]: 1,
    [callsOf('DEL', 'ok')]: 2,
    [failed ?? '']: 1,
  })
  const samples = await agent.samples()
  const durations = 'berth_call_duration_milliseconds'
  expect(samples.get(`${durations}_count{plugin="berth-macvlan",verb="ADD"}`)).toBe(4)
  expect(samples.get(`${durations}_bucket{le="60000",plugin="berth-macvlan",verb="ADD"}`)).toBe(4)
  expect(samples.get('berth_commit_claims_count')).toBe(1)
  expect(samples.get('berth_calls_at_work')).toBe(0)
  expect(samples.get('berth_ready')).toBe(1)
  expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(10_000_000)
  expect(samples.get('process_open_fds')).toBeGreaterThan(3)
})

test('metrics make no series of what a caller makes up', async () => {
  using host = new Host()
  await using agent = await startAgent(host, { metrics: true })
  const pod = host.pod()
  for (const text of ['"}x{y="', 'a\nb', '__proto__', 'constructor', 'x'.repeat(1000), 'ADD ', 'add']) {
    expect((await agent.call(text, pod, host.config())).exitCode).toBe(1)
    expect(await agent.call('ADD', pod, host.config(), { plugin: text })).toMatchObject({ declined: true })
  }
  const found = await counts(agent)
  expect(Object.keys(found).length).toBe(2)
  expect(found[callsOf('other', 'ERR_ENVIRONMENT')]).toBe(7)
  expect(Object.keys(found).some((name) => name.includes('plugin="other",verb="ADD"'))).toBe(true)
})

test('metrics tell the free addresses of a range, down after an ADD and up after its DEL', async () => {
  using host = new Host()
  await using agent = await startAgent(host, { metrics: true })
  const [first, second] = [host.pod(), host.pod()]
  const labels = '{network="net-a",range="10.20.0.10-10.20.0.19"}'
  const free = async (): Promise<(number | undefined)[]> => {
    const samples = await agent.samples()
    const names = [`berth_range_addresses_free${labels}`, `berth_range_addresses_held${labels}`]
    return [...names, 'berth_attachments{network="net-a"}', 'berth_leases{family="4"}'].map((name) => samples.get(name))
  }
  await agent.call('ADD', first, host.config())
  expect(await free()).toEqual([9, 1, 1, 1])
  await agent.call('ADD', second, host.config())
  // A count is good for some seconds.
  expect(await free()).toEqual([9, 1, 1, 1])
  await pause(usageFreshMs)
  expect(await free()).toEqual([8, 2, 2, 2])
  for (const pod of [first, second]) await agent.call('DEL', pod, host.config())
  await pause(usageFreshMs)
  expect(await free()).toEqual([10, 0, undefined, 0])
})

test('metrics are served over TCP where the option says so', async () => {
  using host = new Host()
  ip('-n', host.node, 'link', 'set', 'lo', 'up')
  await using agent = await startAgent(host, { args: ['--metrics-address', '127.0.0.1:9465'] })
  const script = "console.log(await (await fetch('http://127.0.0.1:9465/metrics')).text())"
  const node = ['--input-type=module', '-e', script]
  const body = execFileSync('nsenter', [`--net=/run/netns/${host.node}`, process.execPath, ...node], {
    encoding: 'utf8',
  })
  expect(samplesOf(body).get('berth_ready')).toBe(1)
  expect(agent.stderr).toContain('metrics at "127.0.0.1:9465"')
})

test('health follows the agent from its warm-up to its end', async () => {
  using host = new Host()
  await using agent = await startAgent(host, { metrics: true, until: 'metrics' })
  expect(await agent.page('/readyz')).toMatchObject({ status: 503, body: 'warming up\n' })
  await agent.started()
  for (const path of ['/readyz', '/healthz']) {
    await agent.waitUntil(`${path} is well`, async () => (await agent.page(path)).status === 200)
  }
  const pod = host.pod()
  const key = { network: 'net-a', containerId: pod.containerId, ifName: 'net1' }
  const held = new FileStore(host.dataDir).hold(key)
  const call = agent.call('ADD', pod, host.config())
  await agent.waitUntil('the call is at work', async () => (await agent.samples()).get('berth_calls_at_work') === 1)
  agent.signal('SIGTERM')
  await agent.waitUntil('it drains', async () => (await agent.page('/readyz')).body === 'draining\n')
  expect((await agent.page('/readyz')).status).toBe(503)
  expect((await agent.page('/healthz')).status).toBe(200)
  expect((await agent.samples()).get('berth_ready')).toBe(0)
  expect(existsSync(agent.socketPath)).toBe(false)
  held[Symbol.dispose]()
  expect((await call).exitCode).toBe(0)
  expect(await agent.ended()).toBe(0)
  expect(existsSync(agent.metricsPath)).toBe(false)
  expect(host.call('DEL', pod, host.config()).exitCode).toBe(0)
})

test('an agent says so when its metrics cannot be served', () => {
  using host = new Host()
  const path = join(host.dataDir, 'file')
  writeFileSync(path, 'kept')
  const tries: [string, number, RegExp][] = [
    [path, 1, /Cannot serve metrics at ".*file": there is something else of that name/],
    ['localhost', 2, /Cannot serve metrics at "localhost": not "127.0.0.1:9465"/],
    ['/nowhere/metrics', 1, /Cannot serve metrics at "\/nowhere\/metrics": .*/],
  ]
  for (const [address, exitCode, words] of tries) {
    const args = [
      'agent',
      '--run-dir',
      join(host.dataDir, 'run'),
      '--data-dir',
      host.dataDir,
      '--metrics-address',
      address,
    ]
    const done = spawnSync(join(binaries, 'berth'), args, { encoding: 'utf8', timeout: 10_000 })
    expect([done.status, done.stderr]).toEqual([exitCode, expect.stringMatching(words)])
  }
})
