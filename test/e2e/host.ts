/**
 * A node and its pods as network namespaces, and the packaged program called there as a container runtime calls it.
 *
 * `using host = new Host()` at the head of a test; at its end everything is removed, and whatever the test left behind
 * (a lease, a link in a pod or on the node, a route on the node) makes it fail. A node that is there already is given by its names. With BERTH_TEST_DOOR=agent every node has an agent, and
 * the same tests go through it.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Agent, inNode } from './agent.ts'

export const binaries = join(import.meta.dirname, '..', '..', 'dist', 'cni')

/** A call that takes longer hangs, and the test shall say so instead of waiting with it. */
const callTimeoutMs = 30_000

let made = 0

export interface Answer {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Pod {
  readonly containerId: string
  /** What CNI_NETNS says. */
  readonly netns: string
  /** Its name for `ip -n`. */
  readonly name: string
}

export interface CallOptions {
  readonly plugin?: string
  readonly ifName?: string
  readonly environment?: Record<string, string>
}

export const ip = (...args: string[]): string =>
  execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

export class Host implements Disposable {
  readonly node: string
  readonly dataDir = mkdtempSync(join(tmpdir(), 'berth-test-'))
  /** The NIC: one end of a veth pair whose other end is the node's "switch", where the node is made here. */
  readonly nic: string
  readonly #pods: Pod[] = []
  readonly #isMade: boolean
  /** The node's links, which are to be the same at the end. */
  readonly #links: readonly string[]
  readonly #agent: Agent | undefined

  constructor(node?: { name: string; nic: string }) {
    this.node = node?.name ?? `berth-${process.pid}-${++made}`
    this.nic = node?.nic ?? 'nic0'
    this.#isMade = node === undefined
    if (this.#isMade) {
      ip('netns', 'add', this.node)
      ip('-n', this.node, 'link', 'add', this.nic, 'type', 'veth', 'peer', 'name', 'switch')
      for (const link of [this.nic, 'switch']) ip('-n', this.node, 'link', 'set', link, 'up')
    }
    this.#links = this.linksOf(this.node)
    this.#agent = process.env.BERTH_TEST_DOOR === 'agent' ? new Agent(this) : undefined
  }

  pod(containerId = `ctr-${this.#pods.length}`): Pod {
    const name = `${this.node}-p${this.#pods.length}`
    ip('netns', 'add', name)
    const pod = { containerId, netns: `/run/netns/${name}`, name }
    this.#pods.push(pod)
    return pod
  }

  /** A config of berth-macvlan on the NIC with ten addresses to give; `more` replaces its keys. */
  config(more: object = {}): Record<string, unknown> {
    const ipam = { type: 'berth-ipam', range: '10.20.0.0/24', range_start: '10.20.0.10', range_end: '10.20.0.19' }
    return { cniVersion: '1.1.0', name: 'net-a', type: 'berth-macvlan', master: this.nic, ipam, ...more }
  }

  environment(verb: string, pod: Pod, { ifName = 'net1', environment = {} }: CallOptions = {}): NodeJS.ProcessEnv {
    return {
      PATH: process.env.PATH,
      BERTH_DATA_DIR: this.dataDir,
      CNI_COMMAND: verb,
      CNI_CONTAINERID: pod.containerId,
      CNI_NETNS: pod.netns,
      CNI_IFNAME: ifName,
      CNI_PATH: binaries,
      ...environment,
    }
  }

  /** What a process of its own would write to its standard error; '' where there is no agent. */
  agentLog(): string {
    return this.#agent?.log() ?? ''
  }

  #command(plugin = 'berth-macvlan'): string[] {
    return [...inNode(this.node), plugin.startsWith('/') ? plugin : join(binaries, plugin)]
  }

  /** Calls the packaged plugin on the node. A text is given to it as it is. */
  call(verb: string, pod: Pod, config: object | string, options: CallOptions = {}): Answer {
    const input = typeof config === 'string' ? config : JSON.stringify(config)
    const env = this.environment(verb, pod, options)
    const limits = { timeout: callTimeoutMs, killSignal: 'SIGKILL' } as const
    const before = this.agentLog().length
    const [command = '', ...args] = this.#command(options.plugin)
    const done = spawnSync(command, args, { input, encoding: 'utf8', env, ...limits })
    const logged = this.agentLog().slice(before)
    return { exitCode: done.status, stdout: done.stdout, stderr: done.stderr + logged }
  }

  /** Starts a call and leaves it running; `ip netns exec` becomes the plugin, so its pid is the plugin's. */
  start(verb: string, pod: Pod, config: object, options: CallOptions = {}): ChildProcess {
    const [command = '', ...args] = this.#command(options.plugin)
    const child = spawn(command, args, {
      env: this.environment(verb, pod, options),
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    child.stdin.on('error', () => undefined)
    child.stdin.end(JSON.stringify(config))
    return child
  }

  /** Calls the plugin and returns its result; throws its error. */
  add(pod: Pod, config: object, options: CallOptions = {}): Attached {
    const answer = this.call('ADD', pod, config, options)
    if (answer.exitCode !== 0) throw new Error(`ADD failed: ${answer.stdout}${answer.stderr}`)
    return JSON.parse(answer.stdout)
  }

  /** The file names in the lease directory. */
  leaseFiles(): string[] {
    const directory = join(this.dataDir, 'leases')
    return existsSync(directory) ? readdirSync(directory).sort() : []
  }

  /** The names of the links in a namespace, without the loopback. */
  linksOf(name: string): string[] {
    const links: { ifname: string }[] = JSON.parse(ip('-json', '-n', name, 'link'))
    return links.map(({ ifname }) => ifname).filter((ifname) => ifname !== 'lo')
  }

  /** The routes of the program on the node, as `ip route` shows them. */
  ownRoutes(): string[] {
    const show = (family: string): string =>
      ip('-n', this.node, family, 'route', 'show', 'table', 'all', 'proto', '201')
    return ['-4', '-6'].flatMap((family) => show(family).split('\n')).filter((line) => line !== '')
  }

  /** What is there and should not be at the end of a test. */
  leftovers(): string[] {
    const inPods = this.#pods.flatMap(({ name }) =>
      existsSync(`/run/netns/${name}`) ? this.linksOf(name).map((link) => `${name}: ${link}`) : [],
    )
    const onNode = this.linksOf(this.node).filter((link) => !this.#links.includes(link))
    return [...this.leaseFiles(), ...inPods, ...onNode, ...this.ownRoutes()]
  }

  [Symbol.dispose](): void {
    const isGone = this.#agent?.isAlive === false
    this.#agent?.[Symbol.dispose]()
    const left = this.leftovers()
    for (const { name } of this.#pods) spawnSync('ip', ['netns', 'del', name])
    if (this.#isMade) spawnSync('ip', ['netns', 'del', this.node])
    rmSync(this.dataDir, { recursive: true, force: true })
    if (isGone) throw new Error('the agent has not survived')
    if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`)
  }
}

/** The parts of a result, of any version, that tests look at. */
export interface Attached {
  readonly cniVersion: string
  readonly interfaces?: { name: string; mac: string; mtu?: number; sandbox: string }[]
  readonly ips?: { version?: string; address: string; gateway?: string; interface?: number }[]
  readonly ip4?: { ip: string }
  readonly ip6?: { ip: string }
  readonly routes?: { dst: string; gw?: string }[]
  readonly dns?: object
}
