/** A cluster of one node with everything on it: the API server, a NIC, a primary network, our plugins, and pods that come and go. */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { dist, type Programs } from './build.ts'
import { Cluster, type KubeObject, nodeAddress } from './cluster.ts'
import { Kubelet } from './kubelet.ts'
import { Machine, until } from './machine.ts'
import { type Flavour, Multus, multusCache, multusImage } from './multus.ts'
import { pluginFolder, Runtime, type Sandbox } from './runtime.ts'

export type Door = 'one-shot' | 'agent'

export const namespace = 'apps'
const networksKey = 'k8s.v1.cni.cncf.io/networks'
const statusKey = 'k8s.v1.cni.cncf.io/network-status'
const agentWithinMs = 30_000
/** The kernel takes a namespace apart, and its links with it, after whoever deleted it has gone on. */
const tidyWithinMs = 10_000
/** Ours, and the address that its agent gives its metrics at. */
const daemonSet = ['berth', 'berth'] as const
/** Where our manifests are on the machine. */
export const manifests = '/root/manifests'
const agentMetrics = '127.0.0.1:9465'

/**
 * The network that Multus attaches every pod to first. No list: of a list in a file, thick Multus 4.3.0 passes to DEL nothing but types
 * (its issue 1449), and the addresses of the primary network leak.
 */
const primary = {
  cniVersion: '1.0.0',
  name: 'cluster-network',
  type: 'bridge',
  bridge: 'cni0',
  isDefaultGateway: true,
  ipam: { type: 'host-local', ranges: [[{ subnet: '10.244.0.0/24' }]] },
}

/** The NIC, links by the names of the examples' masters, the plugins of others. */
const makeNode = `
ip link add nic0 type veth peer name switch
ip link set switch up
ip link set nic0 up
ip address add ${nodeAddress}/24 dev nic0
ip netns add switch
for vlan in 20 21 22; do
  ip link add enp6s0.$vlan up type veth peer name far$vlan netns switch
  ip -n switch link set far$vlan up
done
mkdir -p ${pluginFolder} /etc/cni/net.d
cp /usr/lib/cni/{bridge,host-local,loopback,tuning} ${pluginFolder}/
`

/** An element of the annotation that asks for networks. */
export interface Selection {
  readonly name: string
  readonly namespace?: string
  readonly interface?: string
  readonly ips?: readonly string[]
  readonly mac?: string
  readonly 'default-route'?: readonly string[]
}

/** An element of the annotation in which Multus tells what a pod got. */
export interface NetworkStatus {
  readonly name: string
  readonly interface?: string
  readonly ips?: string[]
  readonly mac?: string
  readonly mtu?: number
  readonly default?: boolean
  readonly dns: object
  readonly gateway?: string[]
  readonly 'device-info'?: object
}

export class Rig implements Disposable {
  readonly machine = new Machine('node-1', dist)
  readonly cluster: Cluster
  readonly runtime: Runtime
  readonly programs: Programs
  readonly #kubelet: Kubelet
  #multus: Multus | undefined
  #pods = 0

  constructor(programs: Programs) {
    this.programs = programs
    try {
      this.machine.shell(makeNode)
      // Any other pod. On a node whose processes are all in one namespace our sweep takes itself for one in a pod, which sees but its own.
      this.machine.start('pause', ['unshare', '--pid', '--fork', '--kill-child', 'sleep', 'infinity'])
      this.cluster = new Cluster(this.machine, programs)
      const berth = { root: '/mnt/dist/image', entrypoint: ['/opt/berth/berth'] }
      this.#kubelet = new Kubelet(this.cluster, { berth, 'multus-cni': multusImage(this.machine, programs) })
      this.runtime = new Runtime(this.machine, programs)
      this.cluster.apply([
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
        { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace } },
      ])
      this.#deploy()
    } catch (error) {
      this.machine[Symbol.dispose]()
      throw error
    }
  }

  /** Multus on the node, with a primary network. */
  multus(flavour: Flavour, network: object = primary): Multus {
    // Only the first is read, and one with plugins has to be called a list.
    this.machine.shell('rm -f /etc/cni/net.d/10-*')
    const ending = 'plugins' in network ? 'conflist' : 'conf'
    this.machine.write(`/etc/cni/net.d/10-cluster-network.${ending}`, JSON.stringify(network))
    this.#multus = new Multus(this.cluster, this.#kubelet, this.programs, flavour)
    return this.#multus
  }

  /** Runs the installer as the DaemonSet in the API says now, and returns what it says. */
  install(): string {
    return this.#kubelet.initialise(...daemonSet)
  }

  /** Applies our manifests as the README says. */
  #deploy(): void {
    const ours = join(import.meta.dirname, '..', '..', 'install', 'manifests')
    cpSync(ours, this.machine.path(manifests), { recursive: true })
    this.cluster.kubectl(['apply', '--validate=strict', '-k', `${manifests}/base`])
    this.install()
  }

  /** Starts our agent, as our manifests do, if calls shall go through that door, and says how to end it. */
  open(door: Door): Disposable {
    if (door === 'one-shot') return { [Symbol.dispose]: () => undefined }
    const pids = this.#kubelet.start(...daemonSet)
    const answers = (): boolean => this.machine.run(['test', '-S', '/run/berth/agent.sock']).exitCode === 0
    if (!until(answers, agentWithinMs)) throw new Error(`the agent does not answer: ${this.machine.log('agent')}`)
    return {
      [Symbol.dispose]: () => {
        for (const pid of pids) this.machine.stop(pid)
      },
    }
  }

  /** How many calls the agent has answered, by its own metrics; 0 where there is none. */
  answeredByAgent(): number {
    const get = `exec 3<>/dev/tcp/${agentMetrics.replace(':', '/')} && printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3`
    const { stdout } = this.machine.run(['bash', '-c', get])
    const counts = [...stdout.matchAll(/^berth_calls_total\{.*result="ok".*\} (\d+)$/gm)]
    return counts.reduce((sum, [, count]) => sum + Number(count), 0)
  }

  /** Puts NADs into the API, `config` as their text. */
  define(networks: Readonly<Record<string, object>>, annotations: Record<string, string> = {}): void {
    const nads = Object.entries(networks).map(([name, config]) => ({
      apiVersion: 'k8s.cni.cncf.io/v1',
      kind: 'NetworkAttachmentDefinition',
      metadata: { name, namespace, annotations },
      spec: { config: JSON.stringify(config) },
    }))
    this.cluster.apply(nads)
  }

  /** A pod in the API that asks for networks, in the short form or the long one. */
  createPod(networks: string | readonly Selection[], more: Record<string, string> = {}): KubeObject {
    const name = `pod-${++this.#pods}`
    const text = typeof networks === 'string' ? networks : JSON.stringify(networks)
    const annotations = { [networksKey]: text, ...more }
    const spec = { nodeName: 'node-1', containers: [{ name: 'main', image: 'none' }] }
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, annotations }, spec }
    return JSON.parse(this.cluster.apply([pod], '--output=json'))
  }

  /** A pod with its networks. */
  attach(networks: string | readonly Selection[], annotations: Record<string, string> = {}): Sandbox {
    const sandbox = this.runtime.sandbox(this.createPod(networks, annotations))
    this.runtime.add(sandbox)
    return sandbox
  }

  deletePod({ pod }: Sandbox): void {
    this.cluster.kubectl(['delete', 'pod', pod.metadata.name, '-n', namespace, '--force', '--grace-period=0'])
  }

  /** The usual end: DEL, the namespace, the object. */
  detach(...sandboxes: readonly Sandbox[]): void {
    for (const sandbox of sandboxes) {
      this.runtime.del(sandbox)
      this.runtime.remove(sandbox)
      this.deletePod(sandbox)
    }
  }

  /** What Multus has written of a pod's networks. */
  statusOf({ pod }: Sandbox): NetworkStatus[] {
    const { annotations = {} } = this.cluster.get('pod', pod.metadata.name, namespace).metadata
    return JSON.parse(annotations[statusKey] ?? '[]')
  }

  berth(...args: readonly string[]): string {
    return this.machine.ask([`${pluginFolder}/berth`, ...args])
  }

  /** Who holds addresses of ours: `network address pod`. */
  leases(): string[] {
    const { attachments } = JSON.parse(this.berth('leases', 'list', '--json')) as { attachments: Attachment[] }
    return attachments
      .flatMap(({ network, leases, pod }) =>
        leases.map(({ address }) => `${network} ${address} ${pod?.namespace}/${pod?.name}`),
      )
      .sort()
  }

  /** Sweeps as the agent or an administrator does, without the usual grace, once nobody keeps a deleted pod's namespace. */
  sweep(): void {
    using _off = this.#multus?.off()
    this.sweepOnly()
  }

  /** Ends what keeps deleted pods' namespaces, until it is disposed of. */
  multusOff(): Disposable | undefined {
    return this.#multus?.off()
  }

  sweepOnly(): void {
    this.berth('leases', 'sweep', '--grace', '0')
    this.berth('leases', 'sweep', '--grace', '0')
  }

  /** What is there and should not be when all pods are gone: leases of ours and of the primary network, links, files of Multus. */
  leftovers(): string[] {
    let left: string[] = []
    until(() => {
      left = this.#lookForLeftovers()
      return left.length === 0
    }, tidyWithinMs)
    return left
  }

  #lookForLeftovers(): string[] {
    const own =
      'find $1/* -maxdepth 0 -type f 2>/dev/null; find $1/results /var/lib/cni/results /var/lib/cni/networks -type f 2>/dev/null || true'
    const files = this.machine.shell(own, multusCache).split('\n')
    const links: { ifname: string }[] = JSON.parse(this.machine.ask(['ip', '-json', 'link']))
    // Links of the primary network are not ours: thick Multus keeps the namespace of a pod open until Go's next garbage collection, at most two
    // minutes, and with it what nobody took out of it before it was deleted.
    const usual = /^(lo|nic0|switch|cni0|enp6s0\.2[0-2]|veth[0-9a-f]{8})$/
    const left = [
      ...this.leases(),
      ...files.filter((file) => file !== '' && !/\/(last_reserved_ip\.0|lock)$/.test(file)),
      ...links.map(({ ifname }) => ifname).filter((name) => !usual.test(name)),
      ...this.machine
        .ask(['ip', 'netns', 'list'])
        .split('\n')
        .filter((line) => !line.startsWith('switch')),
    ]
    return left.filter((what) => what !== '')
  }

  /** Makes room for the next test where one has failed on its way. */
  clear(): void {
    const namespaces =
      'ls /run/netns | grep ^cni- | xargs -rn1 ip netns del; ip -json link show type veth | grep -o "veth[0-9a-f]\\{8\\}" | xargs -rn1 ip link del 2>/dev/null'
    this.machine.run(['bash', '-c', `${namespaces}; rm -rf ${multusCache}/* /var/lib/cni/{results,networks}/*`])
    this.sweep()
    this.cluster.kubectl(['delete', 'pods', '--all', '-n', namespace, '--force', '--grace-period=0'])
  }

  [Symbol.dispose](): void {
    this.machine[Symbol.dispose]()
  }
}

interface Attachment {
  readonly network: string
  readonly leases: { readonly address: string }[]
  readonly pod?: { readonly namespace?: string; readonly name?: string }
}
