import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Metrics } from '../../agent/metrics.ts'
import { errorTable } from '../../shared/cni/errors.ts'
import { samplesOf } from './http.ts'

const facts = { state: 'answering', reachable: true, waiting: 3, atWork: 2, removing: 1 } as const
const newMetrics = (more: object = {}): Metrics =>
  new Metrics({ facts: () => facts, delayMs: () => 7, usage: async () => undefined, claimed: () => undefined, ...more })
const callOf = (verb: string, name = 'berth-macvlan') => ({ name, environment: { CNI_COMMAND: verb }, stdin: '' })
const ok = { exitCode: 0 as const, stdout: '' }
const errorOf = (code: unknown) => ({ exitCode: 1 as const, stdout: JSON.stringify({ code, msg: 'x' }) })
const samples = async (metrics: Metrics): Promise<Map<string, number>> => samplesOf(await metrics.render())

test('answered() counts errors by their names, and codes that are not ours as other', async () => {
  const metrics = newMetrics()
  for (const { code } of Object.values(errorTable)) metrics.answered('run', callOf('ADD'), errorOf(code), 1)
  for (const code of [8, 12_345, '__proto__', null]) metrics.answered('run', callOf('ADD'), errorOf(code), 1)
  metrics.answered('run', callOf('ADD'), { exitCode: 1 as const, stdout: 'no JSON' }, 1)
  const found = await samples(metrics)
  const of = (result: string) =>
    found.get(`berth_calls_total{door="run",plugin="berth-macvlan",verb="ADD",result="${result}"}`)
  const names = Object.keys(errorTable).filter((name) => name !== 'ERR_ENVIRONMENT')
  expect(names.map(of)).toEqual(names.map(() => 1))
  expect([of('ERR_ENVIRONMENT'), of('other'), of('ok')]).toEqual([2, 4, undefined])
})

test('answered() makes a bounded number of series', async () => {
  const metrics = newMetrics()
  for (let index = 0; index < 5000; index++) {
    metrics.answered('data', callOf(`verb${index}`, `plugin"${index}\n`), errorOf(index), 1)
  }
  const calls = [...(await samples(metrics)).keys()].filter((name) => name.startsWith('berth_calls_total'))
  expect(calls.length).toBe(Object.keys(errorTable).length + 1)
  expect(calls.every((name) => name.includes('plugin="other",verb="other"'))).toBe(true)
})

test('answered() puts durations into buckets of fractions of a millisecond', async () => {
  const metrics = newMetrics()
  for (const ms of [0.1, 0.45, 0.6, 49, 70_000]) metrics.answered('run', callOf('DEL'), ok, ms)
  const found = await samples(metrics)
  const upTo = (le: string) =>
    found.get(`berth_call_duration_milliseconds_bucket{le="${le}",plugin="berth-macvlan",verb="DEL"}`)
  expect(['0.2', '0.5', '0.75', '30', '50', '60000', '+Inf'].map(upTo)).toEqual([1, 2, 3, 3, 4, 4, 5])
})

test('the metrics are those of README.md', async () => {
  const types = [...(await newMetrics().render()).matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => [
    name,
    type,
  ])
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  const rows = [...readme.matchAll(/^\| `((?:berth|process)_\w+)` \| (\w+) \|/gm)].map(([, name, type]) => [name, type])
  expect(rows.sort()).toEqual(types.sort())
})

test('swept() counts what sweeps did and which failed', async () => {
  const metrics = newMetrics()
  metrics.swept({ released: 2, waiting: 5, expired: 3, leftOver: 1, damaged: 4 }, 80)
  metrics.swept(undefined, 10)
  const found = await samples(metrics)
  const names = ['released', 'expired', 'left over'].map((what) => `berth_swept_total{what="${what}"}`)
  const results = ['ok', 'failed'].map((result) => `berth_sweeps_total{result="${result}"}`)
  const last = ['berth_sweep_waiting', 'berth_sweep_damaged', 'berth_sweep_duration_milliseconds_count']
  expect([...names, ...results, ...last].map((name) => found.get(name))).toEqual([2, 3, 1, 1, 1, 5, 4, 2])
})

test('a network that is gone has no sample any more, and leases that cannot be read have none', async () => {
  let network: string | undefined = 'a"\n'
  const usage = async () =>
    network === undefined
      ? undefined
      : {
          attachments: new Map([[network, 1]]),
          kept: new Map(),
          leases: new Map([['4', 1]]),
          ranges: [{ network, range: '10.0.0.1-10.0.0.9', held: 1, free: 8 }],
        }
  const metrics = newMetrics({ usage })
  const about = async (): Promise<string[]> =>
    [...(await samples(metrics))]
      .filter(([name]) => /network=|readable/.test(name))
      .map(([name, value]) => `${name} ${value}`)
  const range = (name: string) => `,range="10.0.0.1-10.0.0.9"} ${name}`
  expect(await about()).toEqual([
    'berth_leases_readable 1',
    'berth_attachments{network="a\\"\\n"} 1',
    `berth_range_addresses_free{network="a\\"\\n"${range('8')}`,
    `berth_range_addresses_held{network="a\\"\\n"${range('1')}`,
  ])
  network = 'b'
  expect((await about()).filter((name) => name.includes('"a'))).toEqual([])
  network = undefined
  expect(await about()).toEqual(['berth_leases_readable 0'])
})
