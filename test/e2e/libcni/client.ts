/** Real CNI clients on a test's node: a folder for their configs and caches, and the calls of each. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'
import { type Answer, type Attached, binaries, type Host, ip, type Pod } from '../host.ts'
import { buildDriver, type ModulePrograms } from './build.ts'

/** Debian's containernetworking-plugins. */
const referencePlugins = '/usr/lib/cni'

/** What a successful check or del answers. */
export const silence: Answer = { exitCode: 0, stdout: '', stderr: '' }

export interface Conflist {
  readonly cniVersion: string
  readonly name: string
  readonly plugins: readonly object[]
}

export const ping = (from: Pod, address: string): string =>
  ip('netns', 'exec', from.name, 'ping', '-c', '1', '-W', '2', address)

interface PluginConfig {
  readonly [key: string]: unknown
  readonly ipam: object
}

const root = join(import.meta.dirname, '..', '..', '..')

/** The plugin of the example NAD as users deploy it, on the test's NIC. */
export function examplePlugin(host: Host): PluginConfig {
  const nad: { spec: { config: string } } = parse(readFileSync(join(root, 'examples', 'internalapi.yaml'), 'utf8'))
  const { cniVersion: _, name: __, ...plugin } = JSON.parse(nad.spec.config)
  return { ...plugin, master: host.nic }
}

/** A network of one plugin, that of the example NAD; `more` replaces keys of the plugin. */
export function exampleNetwork(host: Host, more: object = {}, cniVersion = '1.0.0'): Conflist {
  return { cniVersion, name: 'internalapi', plugins: [{ ...examplePlugin(host), ...more }] }
}

export interface Wishes {
  /** CNI_ARGS, in this order. */
  readonly args?: readonly (readonly [string, string])[]
  readonly capabilities?: object
}

abstract class Client implements Disposable {
  readonly home = mkdtempSync(join(tmpdir(), 'berth-libcni-'))
  readonly #host: Host
  protected readonly network: string

  constructor(host: Host, conflist: Conflist) {
    this.#host = host
    this.network = conflist.name
    for (const folder of ['net.d', 'cache']) mkdirSync(join(this.home, folder))
    writeFileSync(this.conflist, JSON.stringify(conflist))
  }

  get conflist(): string {
    return join(this.home, 'net.d', 'net.conflist')
  }

  get cache(): string {
    return join(this.home, 'cache')
  }

  /** The attachments that the client remembers. */
  remembered(): string[] {
    return readdirSync(this.cache, { recursive: true, encoding: 'utf8' }).filter((path) => path.startsWith('results/'))
  }

  /** Runs a client program on the node. */
  protected run(command: readonly string[], environment: Record<string, string> = {}): Answer {
    const env = {
      PATH: process.env.PATH,
      BERTH_DATA_DIR: this.#host.dataDir,
      CNI_PATH: `${binaries}:${referencePlugins}`,
      ...environment,
    }
    const done = spawnSync('ip', ['netns', 'exec', this.#host.node, ...command], { encoding: 'utf8', env })
    return { exitCode: done.status, stdout: done.stdout, stderr: done.stderr }
  }

  [Symbol.dispose](): void {
    rmSync(this.home, { recursive: true, force: true })
  }
}

/** The result of an add; throws what the client said when it failed. */
function attached(answer: Answer): Attached {
  if (answer.exitCode !== 0) throw new Error(`add failed: ${answer.stdout}${answer.stderr}`)
  return JSON.parse(answer.stdout)
}

/** The driver on Debian's libcni. */
export class Libcni extends Client {
  call(verb: string, pod?: Pod, { args, capabilities }: Wishes = {}): Answer {
    const flags = {
      conflist: this.conflist,
      cache: this.cache,
      ...(pod === undefined ? {} : { id: pod.containerId, netns: pod.netns, ifname: 'net1' }),
      ...(args === undefined ? {} : { args: JSON.stringify(args) }),
      ...(capabilities === undefined ? {} : { capabilities: JSON.stringify(capabilities) }),
    }
    return this.run([buildDriver(), ...Object.entries(flags).map(([flag, value]) => `-${flag}=${value}`), verb])
  }

  add(pod: Pod, wishes?: Wishes): Attached {
    return attached(this.call('add', pod, wishes))
  }

  /** The first address of each pod. */
  addAll(pods: readonly Pod[]): (string | undefined)[] {
    return pods.map((pod) => this.add(pod).ips?.[0]?.address)
  }

  check(pod: Pod): Answer {
    return this.call('check', pod)
  }

  del(pod: Pod): Answer {
    return this.call('del', pod)
  }

  /** Deletes each pod twice, as runtimes are allowed to. Throws unless that is silent and libcni forgets them. */
  detach(pods: readonly Pod[]): void {
    for (const pod of [...pods, ...pods]) {
      const { exitCode, stdout, stderr } = this.del(pod)
      if (exitCode !== 0 || stdout !== '' || stderr !== '') throw new Error(`del of ${pod.name}: ${stdout}${stderr}`)
    }
    const left = this.remembered()
    if (left.length > 0) throw new Error(`libcni remembers ${left.join(', ')}`)
  }
}

/** cnitool, and GC with a list as runtimes call it, on the newest libcni. */
export class Cnitool extends Client {
  readonly #programs: ModulePrograms

  constructor(programs: ModulePrograms, host: Host, conflist: Conflist) {
    super(host, conflist)
    this.#programs = programs
  }

  call(verb: string, pod: Pod, { args, capabilities }: Wishes = {}): Answer {
    // cnitool knows no other cache than /var/lib/cni, and `ip netns exec` gives its command mounts of its own.
    mkdirSync('/var/lib/cni', { recursive: true })
    const isolated = ['sh', '-ec', 'mount --bind "$0" /var/lib/cni; exec "$@"', this.cache]
    return this.run([...isolated, this.#programs.cnitool, verb, this.network, pod.netns], {
      NETCONFPATH: join(this.home, 'net.d'),
      CNI_IFNAME: 'net1',
      ...(args === undefined ? {} : { CNI_ARGS: args.map((pair) => pair.join('=')).join(';') }),
      ...(capabilities === undefined ? {} : { CAP_ARGS: JSON.stringify(capabilities) }),
    })
  }

  add(pod: Pod, wishes?: Wishes): Attached {
    return attached(this.call('add', pod, wishes))
  }

  /** GC with the list of attachments that are valid. */
  collect(valid: readonly { containerID: string; ifname: string }[]): Answer {
    return this.run([this.#programs.gc, this.conflist, this.cache, JSON.stringify(valid)])
  }
}
