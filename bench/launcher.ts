/** What every call through the agent costs: the launcher with an agent that does nothing, beside the bare start of a Go plugin. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { work } from '../packaging/build.ts'
import type { Ratio, Samples } from './measure.ts'

const launcherPath = join(import.meta.dirname, '..', 'dist', 'cni', 'berth-macvlan')
/** Does nothing but start when it is asked for its versions. */
const goPath = '/usr/lib/cni/loopback'

const names = { launcher: 'launcher and an agent that does nothing', go: 'start of a Go plugin, VERSION' } as const

/** Of the p50s. */
const targetRatio = 0.15
/** The two sides in turn within each of these, so that what the machine does besides meets both. */
const warmUpRounds = 20

export interface Program {
  readonly path: string
  readonly environment: Readonly<Record<string, string>>
  /** A file. */
  readonly input?: string
}

/** Compiles the starter (its head says what it does) and returns its path. */
export function buildSpawner(): string {
  const spawner = join(work, 'spawn')
  const source = join(import.meta.dirname, 'spawn.c')
  execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', spawner, source], { stdio: 'inherit' })
  return spawner
}

/** Runs the programs in turn, `atOnce` of each at a time, and returns the milliseconds of each one's children. */
export function timeStarts(spawner: string, programs: readonly Program[], rounds: number, atOnce = 1): number[][] {
  const args = programs.flatMap(({ path, environment, input }) => [
    '--',
    ...(input === undefined ? [] : [`<${input}`]),
    ...Object.entries(environment).map(([name, value]) => `${name}=${value}`),
    path,
  ])
  const stdio: ['ignore', 'pipe', 'inherit'] = ['ignore', 'pipe', 'inherit']
  const limits = { encoding: 'utf8', maxBuffer: 1 << 28 } as const
  const lines = execFileSync(spawner, ['-n', String(rounds), '-j', String(atOnce), ...args], { ...limits, stdio })
  const times: number[][] = programs.map(() => [])
  for (const line of lines.trimEnd().split('\n')) {
    const [index, nanoseconds] = line.split(' ').map(Number)
    times[index ?? -1]?.push((nanoseconds ?? Number.NaN) / 1e6)
  }
  return times
}

/** Times `rounds` calls of each side, in turn, and adds them to the samples. */
export async function measureLauncher(samples: Samples, rounds = 500): Promise<Ratio> {
  const folder = mkdtempSync(join(tmpdir(), 'berth-launcher-'))
  const input = join(folder, 'config')
  const ipam = { type: 'berth-ipam', range: '10.20.0.0/24', range_start: '10.20.0.10', range_end: '10.20.0.19' }
  writeFileSync(
    input,
    JSON.stringify({ cniVersion: '1.1.0', name: 'net-a', type: 'berth-macvlan', master: 'nic0', ipam }),
  )
  const node = [...process.execArgv, join(import.meta.dirname, 'trivial-agent.ts'), join(folder, 'agent.sock')]
  const agent = spawn(process.execPath, node, { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    await once(agent.stdout, 'data')
    const call = {
      CNI_CONTAINERID: 'c0ffee',
      CNI_NETNS: '/run/netns/pod',
      CNI_IFNAME: 'net1',
      CNI_PATH: '/opt/cni/bin',
    }
    const environment = { CNI_COMMAND: 'VERSION', BERTH_DATA_DIR: folder, ...call }
    const sides = [launcherPath, goPath].map((path) => ({ path, environment, input }))
    const spawner = buildSpawner()
    timeStarts(spawner, sides, warmUpRounds)
    const [ours = [], theirs = []] = timeStarts(spawner, sides, rounds)
    for (const ms of ours) samples.add(names.launcher, ms)
    for (const ms of theirs) samples.add(names.go, ms)
  } finally {
    agent.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  return samples.ratio(names.launcher, names.go, targetRatio)
}
