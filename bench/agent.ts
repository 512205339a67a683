/**
 * Calls through launcher and agent beside the reference plugins: one at a time, many at once, the IPAM alone beside many leases, and
 * where the time of an ADD goes. Every side is started by the same small C program (bench/spawn.c).
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { nic } from './calls.ts'
import { network as filledNetwork, range as filledRange, fillHostLocal, fillStore } from './filled.ts'
import { timeStarts } from './launcher.ts'
import type { Ratio, Samples } from './measure.ts'
import { addAndDel, indexOf, ours, Pods, peers, Served, type Timed, timeInTurn } from './served.ts'

const rounds = 200
/** The peer waits for duplicate address detection, one to two seconds a call. */
const slowRounds = 6
const warmUpRounds = 20
/** So many calls of different pods at once, and how often. */
const crowds = [
  { atOnce: 20, rounds: 10 },
  { atOnce: 100, rounds: 3 },
] as const
/** The more leases, the slower the peer, and the fewer rounds. */
const filled = [
  { count: 10, rounds, share: 9 },
  { count: 1000, rounds, share: 20 },
  { count: 20_000, rounds: 20, share: 150 },
] as const

const floorName = 'C program that sends the messages of an ADD'
const ranges = {
  IPv4: ['10.13.0.0/16'],
  IPv6: ['fd00:13::/64'],
  'dual stack': ['10.14.0.0/16', 'fd00:14::/64'],
} as const
type Addresses = keyof typeof ranges

/** ADD and DEL of both sides. */
function macvlans(
  dataDir: string,
  [ourPod, theirPod]: readonly [string, string],
  addresses: Addresses,
  what: string,
): { agent: Timed[]; peer: Timed[] } {
  const name = `bench-${addresses.replace(' ', '-')}`
  const ipam = { type: 'berth-ipam', ipRanges: ranges[addresses].map((range) => ({ range })) }
  const hostLocal = { type: 'host-local', dataDir: join(dataDir, 'host-local') }
  const theirs = { ...hostLocal, ranges: ranges[addresses].map((subnet) => [{ subnet }]) }
  return {
    agent: addAndDel('agent', what, {
      ...{ path: join(ours, 'berth-macvlan'), netns: ourPod, dataDir },
      config: { name, type: 'berth-macvlan', master: nic, ipam },
    }),
    peer: addAndDel('Go pair', what, {
      ...{ path: join(peers, 'macvlan'), netns: theirPod, dataDir },
      config: { name, type: 'macvlan', master: nic, ipam: theirs },
    }),
  }
}

const ratio = (samples: Samples, verb: string, what: string, peer: string, p50?: number, p99?: number): Ratio =>
  samples.ratio(`agent ${verb} ${what}`, `${peer} ${verb} ${what}`, p50, p99)

/** Both sides' calls, so that each ADD follows a DEL that has waited for the kernel as often as it follows the other's ADD. */
function bothOrders([ourAdd, ourDel]: readonly Timed[], [theirAdd, theirDel]: readonly Timed[]): Timed[] {
  const all = [ourAdd, theirAdd, ourDel, theirDel, theirAdd, ourAdd, theirDel, ourDel]
  return all.filter((one) => one !== undefined)
}

async function oneAtATime(samples: Samples, spawner: string, floor: string): Promise<Ratio[]> {
  await using served = new Served()
  using pods = new Pods(2)
  await served.start()
  const steps = ['add', 'del'].map((step) => ({
    name: step === 'add' ? floorName : `${floorName}: removal`,
    program: { path: floor, args: [pods.pathOf(0), indexOf(nic), step], environment: {} },
  }))
  for (const addresses of ['IPv4', 'IPv6', 'dual stack'] as const) {
    const { agent, peer } = macvlans(served.dataDir, [pods.pathOf(0), pods.pathOf(1)], addresses, addresses)
    timeStarts(
      spawner,
      agent.map(({ program }) => program),
      warmUpRounds,
    )
    const isSlow = addresses !== 'IPv4'
    const inTurn = [...bothOrders(agent, peer), ...(isSlow ? [] : steps)]
    timeInTurn(samples, spawner, inTurn, (isSlow ? slowRounds : rounds) / 2)
    if (isSlow) timeInTurn(samples, spawner, agent, rounds - slowRounds)
  }
  return [
    ratio(samples, 'ADD', 'IPv4', 'Go pair', 0.2, 0.25),
    ratio(samples, 'DEL', 'IPv4', 'Go pair', 0.1),
    ...(['IPv6', 'dual stack'] as const).flatMap((what) => [
      ratio(samples, 'ADD', what, 'Go pair', 0.005),
      ratio(samples, 'DEL', what, 'Go pair'),
    ]),
    samples.ratio('agent ADD IPv4', floorName, 3),
  ]
}

async function manyAtOnce(samples: Samples, spawner: string): Promise<{ ratios: Ratio[]; lines: string[] }> {
  const [ratios, lines]: [Ratio[], string[]] = [[], []]
  for (const { atOnce, rounds } of crowds) {
    await using served = new Served()
    using pods = new Pods(atOnce)
    await served.start()
    const what = `${atOnce} at once`
    const { agent, peer } = macvlans(served.dataDir, [pods.path, pods.path], 'IPv4', what)
    const rates = timeInTurn(samples, spawner, [...agent, ...peer], rounds, atOnce)
    for (const verb of ['ADD', 'DEL']) {
      ratios.push(ratio(samples, verb, what, 'Go pair', undefined, 0.2))
      const [own, theirs] = ['agent', 'Go pair'].map((who) => rates.get(`${who} ${verb} ${what}`) ?? Number.NaN)
      const times = (own ?? 0) / (theirs ?? 1)
      const verdict = `${times.toFixed(1)} times as many (target: at least 10: ${times >= 10 ? 'met' : 'MISSED'})`
      lines.push(`${verb} ${what}: ${own?.toFixed(0)} a second, Go pair ${theirs?.toFixed(0)}: ${verdict}`)
    }
  }
  return { ratios, lines }
}

async function ipamAlone(samples: Samples, spawner: string): Promise<Ratio[]> {
  const ratios: Ratio[] = []
  for (const { count, rounds, share } of filled) {
    await using served = new Served()
    const { dataDir } = served
    fillStore(dataDir, count)
    const theirs = join(dataDir, 'host-local')
    mkdirSync(theirs)
    fillHostLocal(theirs, count)
    await served.start()
    const what = `IPAM alone, ${count} leases`
    const sides = [
      ['agent', join(ours, 'berth-ipam'), { type: 'berth-ipam', range: filledRange }],
      [
        'host-local',
        join(peers, 'host-local'),
        { type: 'host-local', dataDir: theirs, ranges: [[{ subnet: filledRange }]] },
      ],
    ] as const
    const timed = sides.flatMap(([who, path, ipam]) =>
      addAndDel(who, what, { path, netns: '/nowhere', dataDir, config: { name: filledNetwork, type: 'none', ipam } }),
    )
    timeInTurn(samples, spawner, timed, rounds)
    ratios.push(...['ADD', 'DEL'].map((verb) => ratio(samples, verb, what, 'host-local', 1 / share)))
  }
  return ratios
}

/** Where the time of an ADD goes: what the agent's own log says of its steps, and what is left for launcher and socket. */
async function parts(spawner: string): Promise<string[]> {
  await using served = new Served()
  using pods = new Pods(2)
  await served.start('debug')
  const { agent } = macvlans(served.dataDir, [pods.pathOf(0), pods.pathOf(1)], 'IPv4', 'IPv4')
  const programs = agent.map(({ program }) => program)
  timeStarts(spawner, programs, warmUpRounds)
  const before = served.log().length
  const [adds] = timeStarts(spawner, programs, rounds)
  const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0
  const log = served.log().slice(before)
  const step = (name: string): number =>
    median([...log.matchAll(new RegExp(`step ${name}: ([0-9.]+) ms`, 'g'))].map((match) => Number(match[1])))
  const [whole, inAgent] = [median(adds?.each ?? []), step('ADD')]
  const named = {
    parse: step('parse'),
    claim: step('claim'),
    netlink: step('create') + step('configure'),
    disk: step('disk'),
  }
  const rest = inAgent - Object.values(named).reduce((sum, ms) => sum + ms, 0)
  const all = { 'launcher, hand-over and reply': whole - inAgent, ...named, 'the rest of the agent': rest }
  return Object.entries(all).map(
    ([name, ms]) => `  ${name.padEnd(32)} ${ms.toFixed(3)} ms  ${((ms * 100) / whole).toFixed(0).padStart(3)} %`,
  )
}

export interface AgentMeasured {
  readonly ratios: Ratio[]
  readonly lines: string[]
}

/** `floor` is the C program of bench/floor.c. */
export async function measureAgent(samples: Samples, spawner: string, floor: string): Promise<AgentMeasured> {
  const single = await oneAtATime(samples, spawner, floor)
  const crowd = await manyAtOnce(samples, spawner)
  const ipam = await ipamAlone(samples, spawner)
  const share = await parts(spawner)
  return {
    ratios: [...single, ...crowd.ratios, ...ipam],
    lines: [...crowd.lines, 'the medians of the parts of an ADD through the agent:', ...share],
  }
}
