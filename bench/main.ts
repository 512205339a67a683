/**
 * ADD and DEL beside the reference macvlan with host-local, as Debian packages them: one interleaved run, percentiles and
 * ratios as a table and as JSON. Nothing is asserted; a ratio that misses its target says so.
 *
 * BERTH_BENCH_ROUNDS sets n (default 100). The run is inside a network namespace of its own.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { nothing } from '../packaging/nothing.ts'
import { type AgentMeasured, measureAgent } from './agent.ts'
import { nameOf, nic, nothingName, oneRound, type Setup } from './calls.ts'
import { buildFloor, insideCalls, kernelNames, measureKernelPart } from './kernel.ts'
import { buildSpawner, measureLauncher } from './launcher.ts'
import { type Ratio, renderTables, Samples } from './measure.ts'
import { measureResident, type ResidentRate } from './resident.ts'
import { measureOneShot, storeNames } from './store.ts'

const root = join(import.meta.dirname, '..')
const rounds = Number(process.env.BERTH_BENCH_ROUNDS ?? 100)
/** The peer waits for duplicate address detection, one to two seconds a call: enough of them is few. */
const slowRounds = 5
const warmUpRounds = 3

/** Leases that are there already when the IPAM alone is measured. */
const leaseCounts = [0, 1000, 10_000, 50_000]

/** How the IPAM's cost grows with the leases, and how host-local's does. */
function storeRatios(samples: Samples): Ratio[] {
  const [none, most] = [leaseCounts[0] ?? 0, leaseCounts.at(-1) ?? 0]
  return ['ADD', 'DEL'].flatMap((verb) => [
    samples.ratio(storeNames.one(verb, most), storeNames.one(verb, none), 1.3),
    samples.ratio(storeNames.peer(verb, most), storeNames.peer(verb, none)),
    samples.ratio(storeNames.one(verb, most), storeNames.peer(verb, most)),
  ])
}

function ratios(samples: Samples): Ratio[] {
  return [
    ...storeRatios(samples),
    samples.ratio(nameOf('berth', 'ADD', 'IPv4'), nothingName, 1.25),
    samples.ratio(nameOf('berth', 'ADD', 'IPv6'), nameOf('berth', 'ADD', 'IPv4'), 1.2),
    samples.ratio(nameOf('berth', 'ADD', 'dual stack'), nameOf('berth', 'ADD', 'IPv4'), 1.2),
    ...(['IPv4', 'IPv6', 'dual stack'] as const).flatMap((addresses) =>
      (['ADD', 'CHECK', 'DEL'] as const).map((verb) =>
        samples.ratio(nameOf('berth', verb, addresses), nameOf('reference', verb, addresses)),
      ),
    ),
    samples.ratio(insideCalls(kernelNames.v4), kernelNames.floor, 2),
    samples.ratio(kernelNames.v4, kernelNames.floor),
  ]
}

/** The heap after the same claims from ranges of very different sizes, in MiB. */
function heapSizes(): string {
  const sizes = ['10.65.0.0/24', '10.0.0.0/8', 'fd00:65::/64'].map((range) => {
    const args = ['--disable-warning=ExperimentalWarning', '--expose-gc', join(root, 'bench', 'memory.ts'), range]
    const bytes = Number(execFileSync(process.execPath, args, { encoding: 'utf8' }))
    return `${range} ${(bytes / 1024 / 1024).toFixed(2)} MiB`
  })
  return `heap after 200 claims: ${sizes.join(', ')}`
}

const residentTarget = { claimsPerSecond: 5000, p99Ms: 1 }

/** One claim at a time waits for the disk, whoever makes it: the target is for those that share a sync. */
function renderRate({ count, atOnce, claimsPerSecond, p50Ms, p99Ms }: ResidentRate): string {
  const met = claimsPerSecond >= residentTarget.claimsPerSecond && p99Ms < residentTarget.p99Ms
  const verdict = `target: at least ${residentTarget.claimsPerSecond}, p99 under ${residentTarget.p99Ms} ms: ${met ? 'met' : 'MISSED'}`
  const rate = `${claimsPerSecond.toFixed(0)} durable claims a second, p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms`
  return `resident process, ${count} leases, ${atOnce} at once: ${rate}${atOnce === 1 ? '' : ` (${verdict})`}`
}

function report(samples: Samples, rates: readonly ResidentRate[], launcher: Ratio, agent: AgentMeasured): void {
  const [rows, shares] = [samples.rows(), [...agent.ratios, launcher, ...ratios(samples)]]
  const difference =
    samples.row(nameOf('berth', 'ADD', 'dual stack')).p50Ms - samples.row(nameOf('berth', 'ADD', 'IPv4')).p50Ms
  const disk = execFileSync('stat', ['-f', '-c', '%T', tmpdir()], { encoding: 'utf8' }).trim()
  const machine = { kernel: release(), cpus: cpus().length, cpu: cpus()[0]?.model ?? '', node: process.version, disk }
  process.stdout.write(`${renderTables(rows, shares)}\n`)
  process.stdout.write(
    `a dual-stack ADD takes ${difference.toFixed(3)} ms more than an IPv4 one (target: at most 5 ms)\n\n`,
  )
  const lines = [...agent.lines, '', ...rates.map(renderRate), heapSizes()]
  process.stdout.write(`${lines.join('\n')}\n\n`)
  const json = JSON.stringify({ machine, rows, ratios: shares, lines }, undefined, 2)
  writeFileSync(join(root, 'dist', 'bench.json'), `${json}\n`)
  process.stdout.write(`${json}\n`)
}

async function measure(setup: Setup): Promise<void> {
  for (const link of ['lo', nic, 'switch']) execFileSync('ip', ['link', 'set', link, 'up'])
  const pod = `/run/netns/${setup.pod}`
  const floor = buildFloor()
  const discarded = new Samples()
  for (let round = 0; round < warmUpRounds; round++) oneRound(setup, discarded, false)
  const samples = new Samples()
  // Before anything of many files is made and removed: ext4 is slow to give out what it has just got back.
  const rates = measureResident(0)
  for (let round = 0; round < rounds; round++) oneRound(setup, samples, round < slowRounds)
  for (const count of leaseCounts) await measureOneShot(samples, count, rounds)
  rates.push(...measureResident(leaseCounts.at(-1) ?? 0))
  measureKernelPart(samples, floor, pod, nic, rounds)
  const spawner = buildSpawner()
  const launcher = await measureLauncher(samples, spawner)
  const agent = await measureAgent(samples, spawner, floor)
  report(samples, rates, launcher, agent)
}

/**
 * Copies what is compared, one right after the other. How a file of a hundred megabytes came into the page cache, and how long
 * ago, decides how many page faults a start of it takes: milliseconds between two copies of one program.
 */
async function copyPrograms(folder: string): Promise<void> {
  mkdirSync(folder)
  // The packaged program under the plugin's name, without the launcher that stands before it on a node.
  const programs = { 'berth-macvlan': join(root, 'dist', 'cni', 'berth'), nothing: await nothing() }
  for (const [name, from] of Object.entries(programs)) copyFileSync(from, join(folder, name))
  execFileSync('sync', ['-f', folder])
}

/** Makes node and pod as namespaces and runs this file again inside the node. */
async function outside(): Promise<void> {
  const [node, pod] = [`berth-bench-${process.pid}`, `berth-bench-pod-${process.pid}`]
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-bench-'))
  const setup: Setup = { dataDir, pod, programs: join(dataDir, 'programs') }
  mkdirSync(join(dataDir, 'host-local'))
  await copyPrograms(setup.programs)
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
else await measure(JSON.parse(given))
