/** Multus on the node, as its own manifests install it: a program that the runtime starts (thin), or a daemon behind a shim (thick). */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Programs } from './build.ts'
import type { Cluster } from './cluster.ts'
import type { Image, Kubelet } from './kubelet.ts'
import { type Machine, until } from './machine.ts'

export type Flavour = 'thin' | 'thick'

const readyWithinMs = 60_000
const manifests = { thin: 'multus-daemonset.yml', thick: 'multus-daemonset-thick.yml' }
const daemonSet = ['kube-multus-ds', 'kube-system'] as const
/** Where Multus keeps what it needs for a DEL. */
export const multusCache = '/var/lib/cni/multus'

/** Lays out its image on the machine from our build: nothing of its base is needed but the link to /run. */
export function multusImage(machine: Machine, { folder }: Programs): Image {
  const root = '/run/images/multus-cni'
  const programs = ['install_multus', 'multus', 'multus-daemon', 'multus-shim', 'thin_entrypoint']
  const script = `
    bin=$1/usr/src/multus-cni/bin folder=$2
    shift 2
    mkdir -p "$bin" "$bin/../../../../"{etc,var}
    cd "$bin/../../../.."
    echo root:x:0:0:root:/root:/bin/sh >etc/passwd
    ln -s ../run var/run
    for program; do cp "$folder/$program" "$bin/$program"; done
    cp "$folder/passthru-cni" "$bin/passthru"
    ln "$bin/install_multus" "$bin/thin_entrypoint" .`
  machine.shell(script, root, folder, ...programs)
  return { root }
}

export class Multus implements Disposable {
  readonly #cluster: Cluster
  readonly #flavour: Flavour
  readonly #kubelet: Kubelet
  #processes: readonly number[]

  /** Applies its manifest and runs its containers; it is there when its config is. */
  constructor(cluster: Cluster, kubelet: Kubelet, { multusManifests }: Programs, flavour: Flavour) {
    this.#cluster = cluster
    this.#flavour = flavour
    this.#kubelet = kubelet
    cluster.apply(readFileSync(join(multusManifests, manifests[flavour]), 'utf8'))
    kubelet.initialise(...daemonSet)
    this.#processes = kubelet.start(...daemonSet)
    if (until(() => this.#configs().length > 0, readyWithinMs)) return
    throw new Error(`Multus (${flavour}) is not ready: ${this.log()}`)
  }

  /**
   * Ends the daemon of thick Multus until it is disposed of: it keeps deleted pods' namespaces open until Go's next garbage collection, at
   * most two minutes.
   */
  off(): Disposable {
    const processes = this.#flavour === 'thick' ? this.#processes : []
    for (const pid of processes) this.#cluster.machine.stop(pid)
    return {
      [Symbol.dispose]: () => {
        if (processes.length > 0) this.#processes = this.#kubelet.start(...daemonSet)
      },
    }
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
    this.#processes = []
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
