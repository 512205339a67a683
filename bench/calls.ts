/** The calls that are compared: our packaged plugin, the reference plugins, and a packaged program that does nothing. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import type { Samples } from './measure.ts'

const peers = '/usr/lib/cni'
export const nic = 'nic0'

type Who = 'berth' | 'reference'
type Addresses = 'IPv4' | 'IPv6' | 'dual stack'
type Verb = 'ADD' | 'CHECK' | 'DEL'

export const nothingName = 'packaged program that does nothing'
export const nameOf = (who: Who, verb: Verb, addresses: Addresses): string => `${who} ${verb} ${addresses}`
export const stepsName = `steps create+configure of ${nameOf('berth', 'ADD', 'IPv4')}`

export interface Setup {
  readonly dataDir: string
  /** The pod's namespace, by its name. */
  readonly pod: string
  /** The folder of the compared programs of ours: `berth-macvlan`, and `nothing`, which does nothing. */
  readonly programs: string
}

interface Answer {
  readonly stdout: string
  readonly stderr: string
}

/** Runs one call; one that fails ends the run. */
function call(setup: Setup, plugin: string, verb: string, config: object, logLevel = 'warn'): Answer {
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
  const { status, stdout, stderr } = spawnSync(plugin, { input: JSON.stringify(config), env, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${plugin} ${verb} failed: ${stdout}${stderr}`)
  return { stdout, stderr }
}

/** Ours makes the steps of an ADD visible in its log, which is not to be in what is timed. */
function addSteps(setup: Setup, samples: Samples, program: string, config: object): void {
  const { stderr } = call(setup, program, 'ADD', config, 'debug')
  call(setup, program, 'DEL', config)
  const steps = [...stderr.matchAll(/step (?:create|configure): ([0-9.]+) ms/g)].map((match) => Number(match[1]))
  samples.add(
    stepsName,
    steps.reduce((sum, ms) => sum + ms, 0),
  )
}

const ranges: Record<Addresses, readonly string[]> = {
  IPv4: ['10.11.0.0/24'],
  IPv6: ['fd00:11::/64'],
  'dual stack': ['10.12.0.0/24', 'fd00:12::/64'],
}

/** An attachment made, checked and removed again, all three timed. */
function life(setup: Setup, samples: Samples, who: Who, addresses: Addresses): void {
  const ours = {
    type: 'berth-macvlan',
    ipam: { type: 'berth-ipam', ipRanges: ranges[addresses].map((range) => ({ range })) },
  }
  const hostLocal = { type: 'host-local', dataDir: join(setup.dataDir, 'host-local') }
  const theirs = {
    type: 'macvlan',
    ipam: { ...hostLocal, ranges: ranges[addresses].map((subnet) => [{ subnet }]) },
  }
  const chosen = who === 'berth' ? ours : theirs
  const config = { cniVersion: '1.0.0', name: `bench-${chosen.type}`, master: nic, ...chosen }
  const program = join(who === 'berth' ? setup.programs : peers, chosen.type)
  const timed = (verb: Verb, given: object): Answer =>
    samples.time(nameOf(who, verb, addresses), () => call(setup, program, verb, given))
  const withResult = { ...config, prevResult: JSON.parse(timed('ADD', config).stdout) }
  timed('CHECK', withResult)
  timed('DEL', withResult)
  if (who === 'berth' && addresses === 'IPv4') addSteps(setup, samples, program, config)
}

/** One sample of everything, in random order: what ran just before costs the next one its caches. */
export function oneRound(setup: Setup, samples: Samples, withSlowPeer: boolean): void {
  const compared = [
    () => void samples.time(nothingName, () => call(setup, join(setup.programs, 'nothing'), 'ADD', {})),
    ...(['IPv4', 'IPv6', 'dual stack'] as const).map((addresses) => () => life(setup, samples, 'berth', addresses)),
    () => life(setup, samples, 'reference', 'IPv4'),
  ]
  for (const addresses of withSlowPeer ? (['IPv6', 'dual stack'] as const) : []) {
    compared.push(() => life(setup, samples, 'reference', addresses))
  }
  while (compared.length > 0) compared.splice(Math.floor(Math.random() * compared.length), 1)[0]?.()
}
