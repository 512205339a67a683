/**
 * What kubelet does on a node, as far as these tests need it: runs the containers of a DaemonSet as its pod template in the API says (mounts,
 * config maps, service account, environment, capabilities), and tells which devices a pod has.
 */
import { type Cluster, type KubeObject, serviceEnvironment } from './cluster.ts'

const nodeName = 'node-1'

interface EnvironmentVariable {
  readonly name: string
  readonly value?: string
  readonly valueFrom?: { readonly fieldRef?: { readonly fieldPath: string } }
}

interface Container {
  readonly name: string
  readonly image: string
  readonly command?: string[]
  readonly args?: string[]
  readonly env?: EnvironmentVariable[]
  readonly volumeMounts?: { name: string; mountPath: string; readOnly?: boolean; mountPropagation?: string }[]
  readonly securityContext?: {
    privileged?: boolean
    readOnlyRootFilesystem?: boolean
    capabilities?: { add?: string[]; drop?: string[] }
  }
}

interface Volume {
  readonly name: string
  readonly hostPath?: { readonly path: string }
  readonly configMap?: { readonly name: string; readonly items?: { key: string; path: string }[] }
  readonly emptyDir?: object
}

interface PodSpec {
  readonly hostPID?: boolean
  readonly serviceAccountName?: string
  readonly initContainers?: Container[]
  readonly containers: Container[]
  readonly volumes?: Volume[]
}

/** Files of an image: where they are in it, and where they come from on the machine. */
export type Image = Readonly<Record<string, string>>

/** What a container runtime gives to containers that are not privileged. */
const ordinaryCapabilities = [
  'chown',
  'dac_override',
  'fowner',
  'fsetid',
  'kill',
  'setgid',
  'setuid',
  'setpcap',
  'net_bind_service',
  'sys_chroot',
  'mknod',
  'audit_write',
  'setfcap',
  'net_raw',
]

/**
 * The capabilities of a container, as setpriv names them; '' is what the machine has. That to change the root is left to all: whoever
 * becomes the command must have it a moment before.
 */
function capabilitiesOf({ securityContext = {} }: Container): string {
  if (securityContext.privileged === true) return ''
  const named = (names: readonly string[] = []): string[] =>
    names.map((name) => name.toLowerCase().replace(/^cap_/, ''))
  const [add, drop] = [named(securityContext.capabilities?.add), named(securityContext.capabilities?.drop)]
  const kept = drop.includes('all') ? [] : ordinaryCapabilities.filter((name) => !drop.includes(name))
  return ['-all', ...new Set(['sys_chroot', ...kept, ...add].map((name) => `+${name}`))].join(',')
}

/**
 * Makes the root of a container from its image and mounts, in mounts of its own that see the machine's later ones, and becomes its command.
 * Arguments: root, capabilities, read-only or not, then pairs of a source and a target until `--`, then the command.
 */
const contain = `
root=$1 capabilities=$2 readonly=$3
shift 3
mkdir -p "$root"
mount -t tmpfs -o mode=755 container "$root"
mkdir -p "$root"/{etc,proc,run,sys,dev,tmp,var,root,usr}
ln -s /run "$root/var/run"
for folder in bin lib lib64 sbin; do if test -L "/$folder"; then cp -P "/$folder" "$root/$folder"; fi; done
printf 'root:x:0:0:root:/root:/bin/sh\\n' >"$root/etc/passwd"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
while test "$1" != --; do
  source=$1 target=$root$2
  shift 2
  if test -d "$source"; then mkdir -p "$target"; else mkdir -p "\${target%/*}"; touch "$target"; fi
  mount --rbind "$source" "$target"
done
shift
if test "$readonly" = yes; then mount -o remount,ro,bind "$root"; fi
limit=()
if test -n "$capabilities"; then limit=(setpriv --bounding-set "$capabilities" --inh-caps "$capabilities"); fi
exec "\${limit[@]}" chroot "$root" "$@"
`

export class Kubelet {
  readonly #cluster: Cluster
  readonly #images: Readonly<Record<string, Image>>
  #started = 0

  /** Images by the name in their reference, without registry and tag. */
  constructor(cluster: Cluster, images: Readonly<Record<string, Image>>) {
    this.#cluster = cluster
    this.#images = images
  }

  /** Runs the init containers to their end, starts the others, and returns their process IDs. Throws when an init container fails. */
  runDaemonSet(name: string, namespace: string): number[] {
    const set = this.#cluster.get('daemonset', name, namespace) as KubeObject & {
      spec: { template: { spec: PodSpec } }
    }
    const pod = set.spec.template.spec
    const home = `/run/kubelet/${name}-${++this.#started}`
    this.#project(pod, namespace, home)
    const { machine } = this.#cluster
    for (const container of pod.initContainers ?? []) {
      machine.ask(this.#commandOf(container, pod, home), { environment: this.#environmentOf(container, namespace) })
    }
    return pod.containers.map((container) =>
      machine.start(container.name, this.#commandOf(container, pod, home), this.#environmentOf(container, namespace)),
    )
  }

  /** Writes what of a pod comes from the API: its service account and its config maps. */
  #project({ serviceAccountName = 'default', volumes = [] }: PodSpec, namespace: string, home: string): void {
    const { machine } = this.#cluster
    machine.write(`${home}/account/token`, this.#cluster.token(serviceAccountName, namespace))
    machine.write(`${home}/account/ca.crt`, this.#cluster.certificateAuthority)
    machine.write(`${home}/account/namespace`, namespace)
    for (const { name, configMap, hostPath, emptyDir } of volumes) {
      if (hostPath !== undefined) machine.shell('test -e "$1" || mkdir -p "$1"', hostPath.path)
      if (emptyDir !== undefined) machine.shell('mkdir -p "$1"', `${home}/${name}`)
      if (configMap === undefined) continue
      const { data } = this.#cluster.get('configmap', configMap.name, namespace) as KubeObject & {
        data: Record<string, string>
      }
      const items = configMap.items ?? Object.keys(data).map((key) => ({ key, path: key }))
      for (const { key, path } of items) machine.write(`${home}/${name}/${path}`, data[key] ?? '')
    }
  }

  #commandOf(container: Container, pod: PodSpec, home: string): string[] {
    const repository =
      container.image
        .replace(/[@:][^/]*$/, '')
        .split('/')
        .at(-1) ?? ''
    const image = this.#images[repository]
    if (image === undefined) throw new Error(`no image "${container.image}"`)
    const volumes = (container.volumeMounts ?? []).map(({ name, mountPath }) => {
      const hostPath = pod.volumes?.find((volume) => volume.name === name)?.hostPath
      return [hostPath?.path ?? `${home}/${name}`, mountPath]
    })
    // A mount below another comes after it.
    volumes.sort(([, one = ''], [, other = '']) => one.length - other.length)
    const account = [`${home}/account`, '/run/secrets/kubernetes.io/serviceaccount']
    const mounts = [...Object.entries(image).map(([target, source]) => [source, target]), account, ...volumes].flat()
    const readonly = container.securityContext?.readOnlyRootFilesystem === true ? 'yes' : 'no'
    const fixed = [`${home}/${container.name}`, capabilitiesOf(container), readonly]
    const command = [...(container.command ?? []), ...(container.args ?? [])]
    const processes = pod.hostPID === true ? [] : ['--pid', '--fork', '--kill-child']
    const isolated = ['unshare', '--mount', '--propagation', 'slave', ...processes, 'bash', '-ec', contain, 'contain']
    return [...isolated, ...fixed, ...mounts, '--', ...command]
  }

  #environmentOf({ env = [] }: Container, namespace: string): Record<string, string> {
    const fields: Record<string, string> = {
      'metadata.namespace': namespace,
      'spec.nodeName': nodeName,
    }
    const own = env.map(({ name, value, valueFrom }) => [
      name,
      value ?? fields[valueFrom?.fieldRef?.fieldPath ?? ''] ?? '',
    ])
    return { ...serviceEnvironment, ...Object.fromEntries(own) }
  }
}
