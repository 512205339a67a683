/**
 * The demonstration: a node and two pods as network namespaces, the example NAD, and the packaged program as a container
 * runtime would call it. Everything lives in namespaces and a folder of its own and is removed again, interrupted or not.
 */
import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { parse } from 'yaml'

const root = join(import.meta.dirname, '..')
const binaries = join(root, 'dist', 'cni')
const dataDir = mkdtempSync(join(tmpdir(), 'berth-demo-'))
const node = `berth-demo-node-${process.pid}`
const pods = ['a', 'b'].map((letter) => ({
  netns: `berth-demo-pod-${letter}-${process.pid}`,
  containerId: `pod-${letter}`,
}))

const say = (text: string): void => {
  process.stdout.write(`\n\u001b[1m== ${text}\u001b[0m\n`)
}

interface Failure {
  stdout: string
  stderr: string
}

/** Runs a command and returns what it printed. Asynchronous, so that an interrupt is heard in between. */
async function run(
  command: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; input?: string } = {},
): Promise<string> {
  const { input, ...rest } = options
  const running = promisify(execFile)(command, args, rest)
  running.child.stdin?.end(input)
  const { stdout } = await running.catch(({ stdout, stderr }: Failure): never => {
    throw new Error(`${command} ${args.join(' ')} failed: ${stdout}${stderr}`)
  })
  return stdout
}

const ip = (...args: string[]): Promise<string> => run('ip', args)

/** Runs the packaged program on the node. */
async function berth(
  name: string,
  args: readonly string[],
  environment: Record<string, string> = {},
  input = '',
): Promise<string> {
  const env = { PATH: process.env.PATH, BERTH_DATA_DIR: dataDir, ...environment }
  return await run('ip', ['netns', 'exec', node, join(binaries, name), ...args], { env, input })
}

async function call(verb: string, pod: (typeof pods)[number], config: string): Promise<string> {
  const environment = {
    CNI_COMMAND: verb,
    CNI_CONTAINERID: pod.containerId,
    CNI_NETNS: `/run/netns/${pod.netns}`,
    CNI_IFNAME: 'net1',
    CNI_PATH: binaries,
  }
  return await berth('berth-macvlan', [], environment, config)
}

function cleanUp(): void {
  for (const netns of [...pods.map((pod) => pod.netns), node]) spawnSync('ip', ['netns', 'del', netns])
  rmSync(dataDir, { recursive: true, force: true })
}

async function makeHost(master: string): Promise<void> {
  for (const netns of [node, ...pods.map((pod) => pod.netns)]) await ip('netns', 'add', netns)
  await ip('-n', node, 'link', 'add', master, 'type', 'veth', 'peer', 'name', 'switch')
  for (const link of [master, 'switch']) await ip('-n', node, 'link', 'set', link, 'up')
}

async function attach(config: string): Promise<string[]> {
  const addresses: string[] = []
  for (const pod of pods) {
    say(`ADD for ${pod.containerId}`)
    const result = await call('ADD', pod, config)
    process.stdout.write(`${result}\n`)
    addresses.push(String(JSON.parse(result).ips[0].address).replace(/\/.*/, ''))
  }
  return addresses
}

async function detach(config: string): Promise<void> {
  for (const pod of pods) await call('DEL', pod, config)
  process.stdout.write(await berth('berth', ['leases', 'list']))
  const left = readdirSync(join(dataDir, 'leases'))
  for (const pod of pods) {
    const links = await ip('-br', '-n', pod.netns, 'link')
    process.stdout.write(`links of ${pod.containerId}: ${links}`)
    left.push(...links.split('\n').filter((line) => line.startsWith('net1')))
  }
  if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`)
}

async function demonstrate(): Promise<void> {
  const nad: { spec: { config: string } } = parse(readFileSync(join(root, 'examples', 'internalapi.yaml'), 'utf8'))
  const { config } = nad.spec
  const { master }: { master: string } = JSON.parse(config)
  say(`a node with the NIC "${master}", two pods, and the NAD of examples/internalapi.yaml`)
  await makeHost(master)
  process.stdout.write(config)
  const [, second = ''] = await attach(config)
  say(`pod-a pings pod-b at ${second}`)
  process.stdout.write(
    await ip('netns', 'exec', pods[0]?.netns ?? '', 'ping', '-c', '3', '-i', '0.2', '-W', '2', second),
  )
  say('berth leases list')
  process.stdout.write(await berth('berth', ['leases', 'list']))
  say('DEL for both')
  await detach(config)
  say('nothing is left')
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    cleanUp()
    process.exit(1)
  })
}
try {
  await demonstrate()
} finally {
  cleanUp()
}
