/** Multus on the node, as its own manifests install it: a program that the runtime starts (thin), or a daemon behind a shim (thick). */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Programs } from './build.ts'
import type { Cluster } from './cluster.ts'
import type { Image, Kubelet } from './kubelet.ts'
import { until } from './machine.ts'

export type Flavour = 'thin' | 'thick'

const readyWithinMs = 60_000
const manifests = { thin: 'multus-daemonset.yml', thick: 'multus-daemonset-thick.yml' }
const daemonSet = ['kube-multus-ds', 'kube-system'] as const
/** Where Multus keeps what it needs for a DEL. */
export const multusCache = '/var/lib/cni/multus'

/** What its image holds, from our build. */
export function multusImage({ folder }: Programs): Image {
  const programs = ['install_multus', 'multus', 'multus-daemon', 'multus-shim', 'thin_entrypoint']
  const inFolder = programs.map((name) => [`/usr/src/multus-cni/bin/${name}`, `${folder}/${name}`])
  const atRoot = ['install_multus', 'thin_entrypoint'].map((name) => [`/${name}`, `${folder}/${name}`])
  const passthru = ['/usr/src/multus-cni/bin/passthru', `${folder}/passthru-cni`]
  return Object.fromEntries([...inFolder, ...atRoot, passthru])
}

export class Multus implements Disposable {
  readonly #cluster: Cluster
  readonly #flavour: Flavour
  readonly #processes: readonly number[]

  /** Applies its manifest and runs its containers; it is there when its config is. */
  constructor(cluster: Cluster, kubelet: Kubelet, { multusManifests }: Programs, flavour: Flavour) {
    this.#cluster = cluster
    this.#flavour = flavour
    cluster.apply(readFileSync(join(multusManifests, manifests[flavour]), 'utf8'))
    this.#processes = kubelet.runDaemonSet(...daemonSet)
    if (until(() => this.#configs().length > 0, readyWithinMs)) return
    throw new Error(`Multus (${flavour}) is not ready: ${this.log()}`)
  }

  #configs(): string[] {
    const folder = this.#cluster.machine.path('/etc/cni/net.d')
    return existsSync(folder) ? readdirSync(folder).filter((name) => /^00-multus\.conf(list)?$/.test(name)) : []
  }

  log(): string {
    return this.#cluster.machine.log('kube-multus').slice(-8000)
  }

  /** Takes it from the cluster and from the node, so that the other flavour finds neither. */
  [Symbol.dispose](): void {
    const { machine } = this.#cluster
    for (const pid of this.#processes) machine.stop(pid)
    this.#cluster.kubectl([
      'delete',
      'daemonset',
      daemonSet[0],
      '-n',
      daemonSet[1],
      '--cascade=background',
      '--wait=false',
    ])
    machine.shell('rm -rf /etc/cni/net.d/00-multus.conf* /etc/cni/net.d/multus.d /var/log/kube-multus.log')
    machine.shell(`rm -f /opt/cni/bin/${this.#flavour === 'thin' ? 'multus' : 'multus-shim'}`)
  }
}
