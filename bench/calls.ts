/** The calls that are compared: our packaged plugin, the reference plugins, and a packaged program that does nothing. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import type { Samples } from './measure.ts'

const peers = '/usr/lib/cni'
export const nic = 'nic0'

export const names = {
  nothing: 'packaged program that does nothing',
  berth4: 'berth ADD IPv4',
  berth4Del: 'berth DEL IPv4',
  berthDual: 'berth ADD dual stack',
  berthDualDel: 'berth DEL dual stack',
  peer4: 'reference ADD IPv4',
  peer4Del: 'reference DEL IPv4',
  peerDual: 'reference ADD dual stack',
  peerDualDel: 'reference DEL dual stack',
  steps: 'steps create+configure of berth ADD IPv4',
} as const

export interface Setup {
  readonly dataDir: string
  /** The pod's namespace, by its name. */
  readonly pod: string
  /** The folder of the compared programs of ours: `berth-macvlan`, and `nothing`, which does nothing. */
  readonly programs: string
}

/** Runs one call and returns its standard error; a call that fails ends the run. */
function call(setup: Setup, plugin: string, verb: string, input: string, logLevel = 'warn'): string {
  const env = {
    PATH: process.env.PATH,
    BERTH_DATA_DIR: setup.dataDir,
    BERTH_LOG: logLevel,
    CNI_COMMAND: verb,
    CNI_CONTAINERID: 'bench',
    CNI_NETNS: `/run/netns/${setup.pod}`,
    CNI_IFNAME: 'net1',
    CNI_PATH: `${setup.programs}:${peers}`,
  }
  const done = spawnSync(plugin, { input, env, encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`${plugin} ${verb} failed: ${done.stdout}${done.stderr}`)
  return done.stderr
}

/** An attachment made and removed again, both timed. */
function pair(
  setup: Setup,
  samples: Samples,
  plugin: string,
  ipam: object,
  [add, del]: readonly [string, string],
): void {
  const program = plugin === 'macvlan' ? join(peers, plugin) : join(setup.programs, plugin)
  const config = JSON.stringify({ cniVersion: '1.0.0', name: `bench-${plugin}`, type: plugin, master: nic, ipam })
  samples.time(add, () => call(setup, program, 'ADD', config))
  samples.time(del, () => call(setup, program, 'DEL', config))
  if (add !== names.berth4) return
  const log = call(setup, program, 'ADD', config, 'debug')
  call(setup, program, 'DEL', config)
  const steps = [...log.matchAll(/step (?:create|configure): ([0-9.]+) ms/g)].map((match) => Number(match[1]))
  samples.add(
    names.steps,
    steps.reduce((sum, ms) => sum + ms, 0),
  )
}

const dual = ['10.12.0.0/24', 'fd00:12::/64']

/** One sample of everything, in random order: what ran just before costs the next one its caches. */
export function oneRound(setup: Setup, samples: Samples, withSlowPeer: boolean): void {
  const hostLocal = { type: 'host-local', dataDir: join(setup.dataDir, 'host-local') }
  const berth4 = { type: 'berth-ipam', range: '10.11.0.0/24' }
  const berthDual = { type: 'berth-ipam', ipRanges: dual.map((range) => ({ range })) }
  const peer4 = { ...hostLocal, subnet: '10.13.0.0/24' }
  const peerDual = { ...hostLocal, ranges: dual.map((subnet) => [{ subnet }]) }
  const compared = [
    () => samples.time(names.nothing, () => call(setup, join(setup.programs, 'nothing'), 'ADD', '')),
    () => pair(setup, samples, 'berth-macvlan', berth4, [names.berth4, names.berth4Del]),
    () => pair(setup, samples, 'berth-macvlan', berthDual, [names.berthDual, names.berthDualDel]),
    () => pair(setup, samples, 'macvlan', peer4, [names.peer4, names.peer4Del]),
  ]
  if (withSlowPeer) compared.push(() => pair(setup, samples, 'macvlan', peerDual, [names.peerDual, names.peerDualDel]))
  while (compared.length > 0) compared.splice(Math.floor(Math.random() * compared.length), 1)[0]?.()
}
