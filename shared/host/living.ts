/**
 * Whether anybody still uses a network namespace that a record names by device and inode, and nothing else is known of.
 *
 * A namespace lives through a process in it, a bind mount of it or an open descriptor of it, and all three are looked for: who
 * forgets to close one keeps a deleted pod's links, and what is sent to them, for minutes. The other ways (a socket, a thread that
 * went elsewhere than its process) are not those by which a runtime keeps a pod. Whoever asks wants to free something: in doubt a
 * namespace is in use.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { type Ip, sameIp } from '../address.ts'
import { isErrno } from '../disk.ts'
import { listAddresses } from './addresses.ts'
import { findLink } from './links.ts'
import { NetlinkSocket } from './netlink.ts'
import { insideNetns, type NetnsIdentity, openNetnsIfAny, sameNetns } from './netns.ts'

/** PROC_PID_INIT_INO of linux/proc_ns.h: the inode of the first PID namespace, the machine's own, since Linux 3.8. */
const machinePidNamespace = 0xeffffffc

/** Namespaces have inodes from here on (PROC_DYNAMIC_FIRST of fs/proc/generic.c); few files of a disk do. */
const firstNamespaceInode = 0xf0000000

/** The namespaces that were in use at one moment: make it after reading the records that it shall judge. */
export interface Living {
  /** A path at which the namespace can be opened now; undefined when nobody was seen to use it, or nobody does any more. */
  find(identity: NetnsIdentity): string | undefined
  /**
   * Whether all processes and mounts of the node were seen. If not, a namespace that is not found may be alive all the
   * same: in a container without the node's PID namespace, say, or where some processes must not be looked at.
   */
  readonly complete: boolean
}

/** Looks at every process and mount once, and at descriptors when it must: some microseconds each. */
export function livingNamespaces(): Living {
  const mounts = readMounts()
  const processes = readProcesses()
  const paths = Map.groupBy([...mounts.found, ...processes.found], ({ ino }) => ino)
  const isNode = seesNode(processes.pids)
  // There are many, and what somebody runs in needs no look at them.
  let read: Sightings | undefined
  const descriptors = (): Sightings => (read ??= readDescriptors(processes.pids))
  return {
    get complete() {
      return mounts.complete && processes.complete && isNode && descriptors().complete
    },
    find(identity) {
      const candidates = paths.get(identity.ino) ?? []
      const path = candidates.find(({ path }) => leadsTo(path, identity))?.path
      if (path !== undefined) return path
      // A mount that is still listed but hidden under another one keeps its namespace alive, though it cannot be opened.
      const isHidden = candidates.some(({ mounted }) => mounted)
      const hidden = isHidden ? readMounts().found.find(({ ino }) => ino === identity.ino)?.path : undefined
      return (
        hidden ?? descriptors().found.find(({ ino, path }) => ino === identity.ino && leadsTo(path, identity))?.path
      )
    },
  }
}

/** A namespace by its inode; there is one nsfs only, so the device says nothing until the path is looked at. */
interface Sighting {
  readonly ino: number
  readonly path: string
  readonly mounted: boolean
}

interface Sightings {
  readonly found: readonly Sighting[]
  readonly complete: boolean
}

function leadsTo(path: string, identity: NetnsIdentity): boolean {
  try {
    return sameNetns(statSync(path), identity)
  } catch {
    return false
  }
}

/** A process of each mount namespace but ours. Of one that ends, or that nobody may look at, the others may have the same. */
function mountViews(): string[] {
  const views = new Map<string, string>()
  for (const pid of ['self', ...pidsOf()]) {
    try {
      const namespace = readlinkSync(`/proc/${pid}/ns/mnt`)
      if (!views.has(namespace)) views.set(namespace, pid)
    } catch {
      // Who looks at the processes themselves says whether all were seen.
    }
  }
  return [...views.values()].filter((pid) => pid !== 'self' && pid !== '1')
}

/**
 * What is mounted where this program is, where process 1 is, and where any other is: a runtime mounts namespaces for the whole node,
 * or for itself.
 */
function readMounts(): Sightings {
  const found: Sighting[] = []
  let complete = true
  for (const pid of ['self', '1', ...mountViews()]) {
    try {
      found.push(
        ...parseMounts(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'), pid === 'self' ? '' : `/proc/${pid}/root`),
      )
    } catch {
      // Another one has gone meanwhile, and its mounts with it.
      if (pid === 'self' || pid === '1') complete = false
    }
  }
  return { found, complete }
}

const pidsOf = (): string[] => readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))

/** The namespaces in a mountinfo of proc_pid_mountinfo(5); `root` leads from our root directory to that of its process. */
function parseMounts(mountinfo: string, root: string): Sighting[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [, , , what = '', mountPoint = ''] = line.split(' ')
    const ino = /^net:\[(\d+)\]$/.exec(what)?.[1]
    if (ino === undefined) return []
    const path = mountPoint.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)))
    return [{ ino: Number(ino), path: root + path, mounted: true }]
  })
}

function readProcesses(): Sightings & { readonly pids: readonly string[] } {
  const pids = pidsOf()
  const looks = pids.map(lookAtProcess)
  const found = looks.filter((look) => typeof look === 'object')
  // The first process is the node's own, and in no pod: some machines let nobody look at it.
  return { found, complete: looks.every((look, index) => look !== 'refused' || pids[index] === '1'), pids }
}

type Look = Sighting | 'ended' | 'refused'

function lookAtProcess(pid: string): Look {
  const first = lookAt(`/proc/${pid}`)
  if (first !== 'ended') return first
  // A process whose first thread has ended goes on with its others, and shows their namespace nowhere else.
  const others = threadsOf(pid).map((tid) => lookAt(`/proc/${pid}/task/${tid}`))
  return others.find((look) => typeof look === 'object') ?? others.find((look) => look === 'refused') ?? 'ended'
}

function threadsOf(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    // Gone: root may read this directory of every process that there is.
    return []
  }
}

function lookAt(directory: string): Look {
  const path = `${directory}/ns/net`
  try {
    return { ino: statSync(path).ino, path, mounted: false }
  } catch (error) {
    // One that has ended has no namespace; one that ends at this moment is refused, and then has gone.
    return isErrno(error, 'ENOENT', 'ESRCH') || !existsSync(directory) ? 'ended' : 'refused'
  }
}

/** The network namespaces that processes have open. */
function readDescriptors(pids: readonly string[]): Sightings {
  const looks = pids.map(lookAtDescriptors)
  const complete = looks.every((look, index) => look !== 'refused' || pids[index] === '1')
  return { found: looks.flatMap((look) => (look === 'refused' ? [] : look)), complete }
}

/** What a descriptor of a bind mount of a namespace shows is a path, and later that of nothing; its inode stands beside it since Linux 5.14. */
function inodeOf(directory: string, name: string): number | undefined {
  const link = readlinkSync(`${directory}/fd/${name}`)
  const own = /^net:\[(\d+)\]$/.exec(link)?.[1]
  if (own !== undefined) return Number(own)
  // Never stat(2): behind the path may be a server that does not answer.
  const told = link.startsWith('/') ? /^ino:\s*(\d+)$/m.exec(readFileSync(`${directory}/fdinfo/${name}`, 'utf8')) : null
  const ino = Number(told?.[1])
  return ino >= firstNamespaceInode ? ino : undefined
}

function lookAtDescriptors(pid: string): Sighting[] | 'refused' {
  const directory = `/proc/${pid}`
  let isRefused = false
  const refuse = (error: unknown): undefined => {
    // One that was closed, or whose process has ended.
    isRefused ||= !isErrno(error, 'ENOENT', 'ESRCH') && existsSync(directory)
  }
  const found = orElse(() => readdirSync(`${directory}/fd`), refuse)?.flatMap((name) => {
    const ino = orElse(() => inodeOf(directory, name), refuse)
    return ino === undefined ? [] : [{ ino, path: `${directory}/fd/${name}`, mounted: false }]
  })
  return isRefused ? 'refused' : (found ?? [])
}

function orElse<T>(work: () => T, onError: (error: unknown) => undefined): T | undefined {
  try {
    return work()
  } catch (error) {
    return onError(error)
  }
}

/**
 * Whether /proc shows the processes of a whole node. A /proc with us in it is that of our PID namespace or of one above: we
 * are in the machine's own, or there are others beside ours, as there are on a node that is itself a container and makes
 * more. In a pod without the node's PID namespace there is none but its own.
 */
function seesNode(pids: readonly string[]): boolean {
  const own = pidNamespaceOf('self')
  if (own === undefined || own === machinePidNamespace) return own !== undefined
  return pids.some((pid) => (pidNamespaceOf(pid) ?? own) !== own)
}

function pidNamespaceOf(pid: string): number | undefined {
  try {
    return statSync(`/proc/${pid}/ns/pid`).ino
  } catch {
    return undefined
  }
}

/**
 * Whether the namespace at `path` has the link of that index, or one of the addresses on any link. An index that we chose
 * among millions is proof alone: a virtual machine's launcher gives the link another name, and another MAC. The kernel gives the inode of a dead
 * namespace to a new one, so what was found may be another pod's. False when there is no namespace at the path any more, which
 * says nothing of the other paths that may lead to it (`stillUsed`); any other trouble is true.
 */
export function holdsAddress(path: string, linkIndex: number | undefined, ips: readonly Ip[]): boolean {
  try {
    using netns = openNetnsIfAny(path, true)
    if (netns === undefined) return false
    using socket = insideNetns(netns, () => new NetlinkSocket())
    if (linkIndex !== undefined && findLink(socket, { index: linkIndex }) !== undefined) return true
    return listAddresses(socket).some(({ ip }) => ips.some((wanted) => sameIp(ip, wanted)))
  } catch {
    return true
  }
}

/**
 * The whole judgement: somebody uses the namespace and it still holds the link or an address, or it cannot be known. A
 * path that is given up between the search and the look is followed by the next one.
 */
export function stillUsed(
  living: Living,
  identity: NetnsIdentity,
  linkIndex: number | undefined,
  ips: readonly Ip[],
): boolean {
  for (let last: string | undefined; ; ) {
    const path = living.find(identity)
    if (path === undefined) return !living.complete
    // Found again and yet not to be opened: a hidden mount.
    if (path === last || holdsAddress(path, linkIndex, ips)) return true
    if (leadsTo(path, identity)) return false
    last = path
  }
}
