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
    allowPrivilegeEscalation?: boolean
    capabilities?: { add?: string[]; drop?: string[] }
  }
}

interface HostPath {
  readonly path: string
  readonly type?: string
}

interface Volume {
  readonly name: string
  readonly hostPath?: HostPath
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

/** Of a container image. */
export interface Image {
  /** Its root file system on the machine. */
  readonly root: string
  readonly entrypoint?: readonly string[]
}

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
 * Without all capabilities the files of the kernel are read-only there, as container runtimes have it.
 * Arguments: where, image, capabilities, read-only or not, privileges or not, then pairs of a source and a target until `--`, then the command.
 */
const contain = `
place=$1 image=$2 capabilities=$3 readonly=$4 escalation=$5
shift 5
mkdir -p "$place"
mount -t tmpfs -o mode=755 container "$place"
mkdir "$place"/{upper,work,root}
root=$place/root
mount -t overlay container -o lowerdir="$image",upperdir="$place/upper",workdir="$place/work" "$root"
mkdir -p "$root"/{proc,run,sys,dev,tmp}
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
if test -n "$capabilities"; then
  mount --bind "$root/proc/sys" "$root/proc/sys"
  for folder in proc/sys sys; do mount -o remount,bind,ro "$root/$folder"; done
fi
while test "$1" != --; do
  source=$1 target=$root$2
  shift 2
  if test -d "$source"; then mkdir -p "$target"; else mkdir -p "\${target%/*}"; touch "$target"; fi
  mount --rbind "$source" "$target"
done
shift
if test "$readonly" = yes; then mount -o remount,ro "$root"; fi
limit=()
if test -n "$capabilities"; then limit=(setpriv --bounding-set "$capabilities" --inh-caps "$capabilities"); fi
if test "$escalation" = no; then limit+=(setpriv --no-new-privs); fi
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

  /** Runs the init containers of a DaemonSet to their end. Throws what the first one says that fails. */
  initialise(name: string, namespace: string): string {
    const { pod, home } = this.#prepare(name, namespace)
    const said = (pod.initContainers ?? []).map((container) =>
      this.#cluster.machine.ask(this.#commandOf(container, pod, home), {
        environment: this.#environmentOf(container, namespace),
      }),
    )
    return said.join('')
  }

  /** Starts its other containers and returns their process IDs; each one's log has its name. */
  start(name: string, namespace: string): number[] {
    const { pod, home } = this.#prepare(name, namespace)
    return pod.containers.map((container) =>
      this.#cluster.machine.start(
        container.name,
        this.#commandOf(container, pod, home),
        this.#environmentOf(container, namespace),
      ),
    )
  }

  #prepare(name: string, namespace: string): { pod: PodSpec; home: string } {
    const set = this.#cluster.get('daemonset', name, namespace) as KubeObject & {
      spec: { template: { spec: PodSpec } }
    }
    const pod = set.spec.template.spec
    const home = `/run/kubelet/${name}-${++this.#started}`
    this.#project(pod, namespace, home)
    return { pod, home }
  }

  /** Writes what of a pod comes from the API: its service account and its config maps. */
  #project({ serviceAccountName = 'default', volumes = [] }: PodSpec, namespace: string, home: string): void {
    const { machine } = this.#cluster
    machine.write(`${home}/account/token`, this.#cluster.token(serviceAccountName, namespace))
    machine.write(`${home}/account/ca.crt`, this.#cluster.certificateAuthority)
    machine.write(`${home}/account/namespace`, namespace)
    for (const { name, configMap, hostPath, emptyDir } of volumes) {
      if (hostPath !== undefined) this.#check(hostPath)
      if (emptyDir !== undefined) machine.shell('mkdir -p "$1"', `${home}/${name}`)
      if (configMap === undefined) continue
      const { data } = this.#cluster.get('configmap', configMap.name, namespace) as KubeObject & {
        data: Record<string, string>
      }
      const items = configMap.items ?? Object.keys(data).map((key) => ({ key, path: key }))
      for (const { key, path } of items) machine.write(`${home}/${name}/${path}`, data[key] ?? '')
    }
  }

  /** What has no type is made where it is missing, as container runtimes do. */
  #check({ path, type = '' }: HostPath): void {
    const { machine } = this.#cluster
    if (type === '' || type.endsWith('OrCreate')) machine.shell('test -e "$1" || mkdir -p "$1"', path)
    else if (machine.run(['test', type === 'File' ? '-f' : '-d', path]).exitCode !== 0) {
      throw new Error(`hostPath "${path}" is no ${type}`)
    }
  }

  #commandOf(container: Container, pod: PodSpec, home: string): string[] {
    const { image: reference, securityContext = {} } = container
    const repository =
      reference
        .replace(/[@:][^/]*$/, '')
        .split('/')
        .at(-1) ?? ''
    const image = this.#images[repository]
    if (image === undefined) throw new Error(`no image "${reference}"`)
    const volumes = (container.volumeMounts ?? []).map(({ name, mountPath }) => {
      const hostPath = pod.volumes?.find((volume) => volume.name === name)?.hostPath
      return [hostPath?.path ?? `${home}/${name}`, mountPath]
    })
    // A mount below another comes after it.
    volumes.sort(([, one = ''], [, other = '']) => one.length - other.length)
    const account = [`${home}/account`, '/var/run/secrets/kubernetes.io/serviceaccount']
    const mounts = [account, ...volumes].flat()
    const yesNo = (is: boolean): string => (is ? 'yes' : 'no')
    const fixed = [
      `${home}/${container.name}`,
      image.root,
      capabilitiesOf(container),
      yesNo(securityContext.readOnlyRootFilesystem === true),
      yesNo(securityContext.allowPrivilegeEscalation !== false),
    ]
    const command = [...(container.command ?? image.entrypoint ?? []), ...(container.args ?? [])]
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
