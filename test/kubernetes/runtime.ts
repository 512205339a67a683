/** A container runtime, as far as Multus sees one: libcni on the first config of /etc/cni/net.d, the arguments of a pod, eth0. */
import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import type { Attached } from '../e2e/host.ts'
import type { Programs } from './build.ts'
import type { KubeObject } from './cluster.ts'
import type { Done, Machine } from './machine.ts'

const configFolder = '/etc/cni/net.d'
const conflist = '/run/runtime/net.conflist'
export const pluginFolder = '/opt/cni/bin'

/** The network namespace of a pod, before and after its containers. */
export interface Sandbox {
  readonly id: string
  /** What CNI_NETNS says. */
  readonly netns: string
  /** Its name for `ip -n`. */
  readonly name: string
  readonly pod: KubeObject
}

export class Runtime {
  readonly #machine: Machine
  readonly #driver: string

  constructor(machine: Machine, programs: Programs) {
    this.#machine = machine
    this.#driver = `${programs.folder}/libcni-driver`
  }

  /** The network that every pod gets: the first config by name, made a list when it is none, as libcni's ConfListFromConf does. */
  #network(): string {
    const [first] = readdirSync(this.#machine.path(configFolder))
      .filter((name) => /\.(conf|conflist|json)$/.test(name))
      .sort()
    if (first === undefined) throw new Error(`no network in "${configFolder}"`)
    const config = JSON.parse(this.#machine.read(`${configFolder}/${first}`))
    const { cniVersion, name } = config
    this.#machine.write(
      conflist,
      JSON.stringify('plugins' in config ? config : { cniVersion, name, plugins: [config] }),
    )
    return conflist
  }

  sandbox(pod: KubeObject): Sandbox {
    const name = `cni-${randomBytes(8).toString('hex')}`
    this.#machine.ask(['ip', 'netns', 'add', name])
    this.#machine.ask(['ip', '-n', name, 'link', 'set', 'lo', 'up'])
    return { id: randomBytes(32).toString('hex'), netns: `/var/run/netns/${name}`, name, pod }
  }

  call(verb: 'add' | 'del' | 'check', { id, netns, pod }: Sandbox): Done {
    const args = [
      ['IgnoreUnknown', '1'],
      ['K8S_POD_NAMESPACE', pod.metadata.namespace],
      ['K8S_POD_NAME', pod.metadata.name],
      ['K8S_POD_INFRA_CONTAINER_ID', id],
      ['K8S_POD_UID', pod.metadata.uid],
    ]
    const flags = {
      conflist: this.#network(),
      cache: '/var/lib/cni',
      id,
      netns,
      ifname: 'eth0',
      args: JSON.stringify(args),
    }
    const options = Object.entries(flags).map(([flag, value]) => `-${flag}=${value}`)
    return this.#machine.run([this.#driver, ...options, verb], { environment: { CNI_PATH: pluginFolder } })
  }

  /** What the pod gets; throws Multus' error. */
  add(sandbox: Sandbox): Attached {
    const { exitCode, stdout, stderr } = this.call('add', sandbox)
    if (exitCode !== 0) throw new Error(`ADD of ${sandbox.pod.metadata.name}: ${stderr}${stdout}`)
    return JSON.parse(stdout)
  }

  /** Takes the network away. Throws when that fails. */
  del(sandbox: Sandbox): void {
    const { exitCode, stdout, stderr } = this.call('del', sandbox)
    if (exitCode !== 0) throw new Error(`DEL of ${sandbox.pod.metadata.name}: ${stderr}${stdout}`)
  }

  /** The end of the sandbox, with or without a DEL before. */
  remove({ name }: Sandbox): void {
    this.#machine.ask(['ip', 'netns', 'del', name])
  }
}
