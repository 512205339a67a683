/**
 * ADD and DEL beside the reference macvlan with host-local, as Debian packages them: one interleaved run, percentiles and
 * ratios as a table and as JSON. Nothing is asserted; a ratio that misses its target says so.
 *
 * BERTH_BENCH_ROUNDS sets n (default 100). The run is inside a network namespace of its own.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { nothing } from '../packaging/nothing.ts'
import { measureKernelPart } from './kernel.ts'
import { type Ratio, renderTables, Samples } from './measure.ts'
import { measureStore } from './store.ts'

const root = join(import.meta.dirname, '..')
const ours = join(root, 'dist', 'cni')
const peers = '/usr/lib/cni'
const rounds = Number(process.env.BERTH_BENCH_ROUNDS ?? 100)
/** The peer waits for duplicate address detection, one to two seconds a call: enough of them is few. */
const slowRounds = 5
const warmUpRounds = 3
const nic = 'nic0'

const names = {
  nothing: 'packaged program that does nothing',
  berth4: 'berth ADD IPv4',
  berth4Del: 'berth DEL IPv4',
  berthDual: 'berth ADD dual stack',
  peer4: 'reference ADD IPv4',
  peer4Del: 'reference DEL IPv4',
  peerDual: 'reference ADD dual stack',
  create: 'step create+configure in berth ADD IPv4',
} as const

const config = (type: string, name: string, ipam: object): string =>
  JSON.stringify({ cniVersion: '1.0.0', name, type, master: nic, ipam })
const dualRanges = { v4: '10.12.0.0/24', v6: 'fd00:12::/64' }

interface Setup {
  readonly dataDir: string
  readonly pod: string
  readonly nothing: string
}

/** Runs one call and returns its standard error; a call that fails ends the run. */
function call(setup: Setup, plugin: string, verb: string, input: string): string {
  const env = {
    PATH: process.env.PATH,
    BERTH_DATA_DIR: setup.dataDir,
    BERTH_LOG: 'debug',
    CNI_COMMAND: verb,
    CNI_CONTAINERID: 'bench',
    CNI_NETNS: `/run/netns/${setup.pod}`,
    CNI_IFNAME: 'net1',
    CNI_PATH: `${ours}:${peers}`,
  }
  const done = spawnSync(plugin, { input, env, encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`${plugin} ${verb} failed: ${done.stdout}${done.stderr}`)
  return done.stderr
}

function oneRound(setup: Setup, samples: Samples, round: number): void {
  const berth = join(ours, 'berth-macvlan')
  const macvlan = join(peers, 'macvlan')
  const leases = join(setup.dataDir, 'host-local')
  const berth4 = config('berth-macvlan', 'b4', { type: 'berth-ipam', range: '10.11.0.0/24' })
  const peer4 = config('macvlan', 'p4', { type: 'host-local', dataDir: leases, subnet: '10.13.0.0/24' })
  const berthDual = config('berth-macvlan', 'b6', {
    type: 'berth-ipam',
    ipRanges: Object.values(dualRanges).map((range) => ({ range })),
  })
  const ranges = Object.values(dualRanges).map((subnet) => [{ subnet }])
  const peerDual = config('macvlan', 'p6', { type: 'host-local', dataDir: leases, ranges })

  samples.time(names.nothing, () => call(setup, setup.nothing, 'ADD', ''))
  let log = ''
  samples.time(names.berth4, () => {
    log = call(setup, berth, 'ADD', berth4)
  })
  const steps = [...log.matchAll(/step (?:create|configure): ([0-9.]+) ms/g)].map((match) => Number(match[1]))
  samples.add(
    names.create,
    steps.reduce((sum, ms) => sum + ms, 0),
  )
  samples.time(names.berth4Del, () => call(setup, berth, 'DEL', berth4))
  samples.time(names.peer4, () => call(setup, macvlan, 'ADD', peer4))
  samples.time(names.peer4Del, () => call(setup, macvlan, 'DEL', peer4))
  samples.time(names.berthDual, () => call(setup, berth, 'ADD', berthDual))
  call(setup, berth, 'DEL', berthDual)
  if (round >= slowRounds) return
  samples.time(names.peerDual, () => call(setup, macvlan, 'ADD', peerDual))
  call(setup, macvlan, 'DEL', peerDual)
}

function ratios(samples: Samples): Ratio[] {
  return [
    samples.ratio(names.berth4, names.nothing, 1.35),
    samples.ratio(names.berth4, names.peer4),
    samples.ratio(names.berth4Del, names.peer4Del),
    samples.ratio(names.berthDual, names.berth4),
    samples.ratio(names.berthDual, names.peerDual),
  ]
}

function report(samples: Samples): void {
  const [rows, shares] = [samples.rows(), ratios(samples)]
  const difference = samples.row(names.berthDual).p50Ms - samples.row(names.berth4).p50Ms
  const machine = { kernel: release(), cpus: cpus().length, cpu: cpus()[0]?.model ?? '', node: process.version }
  process.stdout.write(`${renderTables(rows, shares)}\n`)
  process.stdout.write(
    `a dual-stack ADD takes ${difference.toFixed(3)} ms more than an IPv4 one (target: at most 5 ms)\n\n`,
  )
  const json = JSON.stringify({ machine, rows, ratios: shares }, undefined, 2)
  writeFileSync(join(root, 'dist', 'bench.json'), `${json}\n`)
  process.stdout.write(`${json}\n`)
}

function measure(setup: Setup): void {
  for (const link of ['lo', nic, 'switch']) execFileSync('ip', ['link', 'set', link, 'up'])
  const discarded = new Samples()
  for (let round = 0; round < warmUpRounds; round++) oneRound(setup, discarded, slowRounds)
  const samples = new Samples()
  for (let round = 0; round < rounds; round++) oneRound(setup, samples, round)
  measureKernelPart(discarded, `/run/netns/${setup.pod}`, nic, warmUpRounds)
  measureKernelPart(samples, `/run/netns/${setup.pod}`, nic, rounds)
  measureStore(samples, [0, 1000, 10_000], rounds)
  report(samples)
}

/** Makes node and pod as namespaces and runs this file again inside the node. */
async function outside(): Promise<void> {
  const [node, pod] = [`berth-bench-${process.pid}`, `berth-bench-pod-${process.pid}`]
  const setup: Setup = { dataDir: mkdtempSync(join(tmpdir(), 'berth-bench-')), pod, nothing: await nothing() }
  mkdirSync(join(setup.dataDir, 'host-local'))
  try {
    for (const netns of [node, pod]) execFileSync('ip', ['netns', 'add', netns])
    execFileSync('ip', ['-n', node, 'link', 'add', nic, 'type', 'veth', 'peer', 'name', 'switch'])
    const again = [...process.execArgv, import.meta.filename, JSON.stringify(setup)]
    const { status } = spawnSync('ip', ['netns', 'exec', node, process.execPath, ...again], { stdio: 'inherit' })
    process.exitCode = status ?? 1
  } finally {
    for (const netns of [pod, node]) spawnSync('ip', ['netns', 'del', netns])
    rmSync(setup.dataDir, { recursive: true, force: true })
  }
}

const [given] = process.argv.slice(2)
if (given === undefined) await outside()
else measure(JSON.parse(given))
