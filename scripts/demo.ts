/**
 * The demonstration: a node and two pods as network namespaces, the example NAD, and the packaged program as a container
 * runtime would call it. Everything lives in namespaces and a folder of its own and is removed again, interrupted or not.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'

const root = join(import.meta.dirname, '..')
const binaries = join(root, 'dist', 'cni')
const dataDir = mkdtempSync(join(tmpdir(), 'berth-demo-'))
const node = `berth-demo-node-${process.pid}`
const pods = ['a', 'b'].map((letter) => ({ netns: `berth-demo-pod-${letter}-${process.pid}`, containerId: `pod-${letter}` }))

const say = (text: string): void => {
  process.stdout.write(`\n\u001b[1m== ${text}\u001b[0m\n`)
}

function fail(what: string, { stdout, stderr }: SpawnSyncReturns<string>): never {
  throw new Error(`${what} failed: ${stdout}${stderr}`)
}

/** Runs a command and returns what it printed. */
function run(command: string, ...args: string[]): string {
  const done = spawnSync(command, args, { encoding: 'utf8' })
  if (done.status !== 0) fail(`${command} ${args.join(' ')}`, done)
  return done.stdout
}

/** Runs the packaged program on the node. */
function berth(name: string, args: readonly string[], environment: Record<string, string> = {}, input = ''): string {
  const command = ['netns', 'exec', node, join(binaries, name), ...args]
  const env = { PATH: process.env.PATH, BERTH_DATA_DIR: dataDir, ...environment }
  const done = spawnSync('ip', command, { encoding: 'utf8', env, input })
  if (done.status !== 0) fail(name, done)
  return done.stdout
}

function call(verb: string, pod: (typeof pods)[number], config: string): string {
  const environment = {
    CNI_COMMAND: verb,
    CNI_CONTAINERID: pod.containerId,
    CNI_NETNS: `/run/netns/${pod.netns}`,
    CNI_IFNAME: 'net1',
    CNI_PATH: binaries,
  }
  return berth('berth-macvlan', [], environment, config)
}

function cleanUp(): void {
  for (const netns of [...pods.map((pod) => pod.netns), node]) spawnSync('ip', ['netns', 'del', netns])
  rmSync(dataDir, { recursive: true, force: true })
}

function makeHost(master: string): void {
  for (const netns of [node, ...pods.map((pod) => pod.netns)]) run('ip', 'netns', 'add', netns)
  run('ip', '-n', node, 'link', 'add', master, 'type', 'veth', 'peer', 'name', 'switch')
  for (const link of [master, 'switch']) run('ip', '-n', node, 'link', 'set', link, 'up')
}

const linksOf = (netns: string): string => run('ip', '-br', '-n', netns, 'link')

function demonstrate(): void {
  const nad: { spec: { config: string } } = parse(readFileSync(join(root, 'examples', 'internalapi.yaml'), 'utf8'))
  const config: { type: string; master: string } = JSON.parse(nad.spec.config)
  say(`a node with the NIC "${config.master}", two pods, and the NAD of examples/internalapi.yaml`)
  makeHost(config.master)
  process.stdout.write(nad.spec.config)
  const addresses = pods.map((pod) => {
    say(`ADD for ${pod.containerId}`)
    const result = call('ADD', pod, nad.spec.config)
    process.stdout.write(`${result}\n`)
    return String(JSON.parse(result).ips[0].address).replace(/\/.*/, '')
  })
  const [first, second] = pods
  if (first === undefined || second === undefined) throw new Error('the demonstration needs two pods')
  say(`${first.containerId} pings ${second.containerId} at ${addresses[1]}`)
  process.stdout.write(run('ip', 'netns', 'exec', first.netns, 'ping', '-c', '3', '-i', '0.2', '-W', '2', addresses[1] ?? ''))
  say('berth leases list')
  process.stdout.write(berth('berth', ['leases', 'list']))
  say('DEL for both')
  for (const pod of pods) call('DEL', pod, nad.spec.config)
  process.stdout.write(berth('berth', ['leases', 'list']))
  for (const pod of pods) process.stdout.write(`links of ${pod.containerId}: ${linksOf(pod.netns)}`)
  const files = readdirSync(join(dataDir, 'leases'))
  const left = [...files, ...pods.flatMap((pod) => linksOf(pod.netns).split('\n').filter((line) => line.startsWith('net1')))]
  if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`)
  say('nothing is left')
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    cleanUp()
    process.exit(1)
  })
}
try {
  demonstrate()
} finally {
  cleanUp()
}
