/**
 * Network namespaces: opening, telling apart, and doing something inside.
 *
 * setns changes the calling thread only, and a thread-pool thread started meanwhile would stay in the foreign
 * namespace for good: what happens inside is synchronous and short. Sockets and sysctl files opened inside keep their
 * namespace and are used from anywhere afterwards.
 */

import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs'
import { CniError } from '../cni/errors.ts'
import { isErrno } from '../disk.ts'
import { messageOf } from '../message.ts'
import { leaveNetns, setNetns } from './libc.ts'
import { pathUnder } from './under-root.ts'

interface OwnNetns {
  readonly fd: number
  readonly identity: NetnsIdentity
}

/** The namespace that this program was started in, and belongs to: opened once, when it is first needed. */
let own: OwnNetns | undefined

function ownNetns(): OwnNetns {
  if (own === undefined) {
    const fd = openSync('/proc/thread-self/ns/net', constants.O_RDONLY)
    const { dev, ino } = fstatSync(fd)
    own = { fd, identity: { dev, ino } }
  }
  return own
}

/** Tells a namespace from every other one of this boot: device and inode of its nsfs file. */
export interface NetnsIdentity {
  readonly dev: number
  readonly ino: number
}

export interface Netns extends Disposable {
  readonly path: string
  readonly fd: number
  readonly identity: NetnsIdentity
}

export const sameNetns = (a: NetnsIdentity, b: NetnsIdentity): boolean => a.dev === b.dev && a.ino === b.ino

/** Opens the namespace at `path` under `root`; undefined when there is none any more (no such file, or no longer a namespace). */
function openNetnsIfAlive(path: string, root: string): Netns | undefined {
  let fd: number
  try {
    fd = openSync(pathUnder(root, path), constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ENXIO', 'ENAMETOOLONG', 'ELOOP')) return undefined
    throw new CniError('ERR_ENVIRONMENT', `Cannot open CNI_NETNS "${path}": ${messageOf(error)}`, { cause: error })
  }
  const { dev, ino } = fstatSync(fd)
  // A bind mount that is gone leaves its plain file behind. All namespaces are files of the one nsfs, on its device.
  if (dev !== ownNetns().identity.dev) {
    closeSync(fd)
    return undefined
  }
  return { path, fd, identity: { dev, ino }, [Symbol.dispose]: () => closeSync(fd) }
}

/** Whether the namespace once seen at `path` is still there and still the same one. In doubt it is: who asks frees things. */
export function netnsAlive(path: string, identity: NetnsIdentity): boolean {
  try {
    return sameNetns(statSync(path), identity)
  } catch (error) {
    return !isErrno(error, 'ENOENT', 'ENOTDIR')
  }
}

/**
 * Opens the namespace that CNI_NETNS names; `root` leads to the root directory of whoever named it. Throws ERR_ENVIRONMENT when it is none, or the caller's own: a plugin that
 * worked there would change the host.
 */
export function openNetns(path: string, ownAllowed: boolean, root = ''): Netns {
  const netns = openNetnsIfAlive(path, root)
  if (netns === undefined) {
    throw new CniError('ERR_ENVIRONMENT', `Cannot open CNI_NETNS "${path}": not a network namespace`)
  }
  if (!ownAllowed) refuseOwn(netns)
  return netns
}

/** The namespace at `path` if there is one: '' and a path that leads to none are undefined. Errors as openNetns. */
export function openNetnsIfAny(path: string, ownAllowed: boolean, root = ''): Netns | undefined {
  const netns = path === '' ? undefined : openNetnsIfAlive(path, root)
  if (netns !== undefined && !ownAllowed) refuseOwn(netns)
  return netns
}

function refuseOwn(netns: Netns): void {
  if (!sameNetns(netns.identity, ownNetns().identity)) return
  netns[Symbol.dispose]()
  // Code 8 and words of the reference library, which says so only after the harm is done.
  throw new CniError('ERR_ENVIRONMENT', "plugin's netns and netns from CNI_NETNS should not be the same", {
    code: 8,
    details: `CNI_NETNS is "${netns.path}"`,
  })
}

/** A namespace that nobody else knows, and that ends with its descriptor. Throws SystemError. */
export function newNetns(): Netns {
  const home = ownNetns()
  leaveNetns()
  try {
    const fd = openSync('/proc/thread-self/ns/net', constants.O_RDONLY)
    const { dev, ino } = fstatSync(fd)
    return { path: `/proc/self/fd/${fd}`, fd, identity: { dev, ino }, [Symbol.dispose]: () => closeSync(fd) }
  } finally {
    goHome(home.fd)
  }
}

/** The namespace of this program, which nobody closes. */
export const nodeNetns = (): Netns => ({ path: '/proc/self/ns/net', ...ownNetns(), [Symbol.dispose]: () => undefined })

/** Runs `work` with the calling thread inside the namespace. Never await in it. */
export function insideNetns<T>(netns: Netns, work: () => T): T {
  const home = ownNetns()
  enter(netns)
  try {
    return work()
  } finally {
    goHome(home.fd)
  }
}

function enter(netns: Netns): void {
  try {
    setNetns(netns.fd)
  } catch (error) {
    // EINVAL: a namespace, but of another kind (setns(2)).
    throw new CniError('ERR_ENVIRONMENT', `Cannot enter CNI_NETNS "${netns.path}": not a network namespace`, {
      cause: error,
    })
  }
}

function goHome(home: number): void {
  try {
    setNetns(home)
  } catch {
    // Going on in the pod's namespace would do the next host change there. There is nothing better than to die.
    process.abort()
  }
}
