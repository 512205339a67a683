/**
 * The few C library calls that Node does not offer, through node:ffi (docs/decisions/001-netlink-binding.md).
 *
 * node:ffi is experimental: a wrong signature key is silently void, so the binding proves itself once at load with a
 * call whose answer Node knows too. Nothing else in the program imports node:ffi.
 */

import { dlopen, getInt32 } from 'node:ffi'
import { closeSync } from 'node:fs'
import { getSystemErrorName } from 'node:util'
import { CniError } from '../cni/errors.ts'

/** A system call that failed: `errno` is the positive number of errno(3), `code` its name, as in Node's own errors. */
export class SystemError extends Error {
  readonly errno: number
  readonly code: string

  constructor(call: string, errno: number, words = '') {
    const code = errnoName(errno)
    super(`${call}: ${words === '' ? code : `${words} (${code})`}`)
    this.errno = errno
    this.code = code
  }
}

function errnoName(errno: number): string {
  try {
    return getSystemErrorName(-errno)
  } catch {
    return `errno ${errno}`
  }
}

/** The signatures, in the words of node:ffi. */
const signatures = {
  getpid: { arguments: [], return: 'i32' },
  setns: { arguments: ['i32', 'i32'], return: 'i32' },
  socket: { arguments: ['i32', 'i32', 'i32'], return: 'i32' },
  connect: { arguments: ['i32', 'buffer', 'u32'], return: 'i32' },
  setsockopt: { arguments: ['i32', 'i32', 'i32', 'buffer', 'u32'], return: 'i32' },
  flock: { arguments: ['i32', 'i32'], return: 'i32' },
  _exit: { arguments: ['i32'], return: 'void' },
  __errno_location: { arguments: [], return: 'pointer' },
} as const

function load() {
  const library = dlopen(null, signatures)
  if (library.functions.getpid() !== process.pid) {
    throw new CniError(
      'ERR_INTERNAL',
      `node:ffi of ${process.version} does not call the C library as this program needs`,
    )
  }
  return library
}

// Held whole for the life of the program: a collected library handle would unmap the functions.
let library: ReturnType<typeof load> | undefined

/** The functions, loaded at the first call that needs one: a VERSION, or a config that is refused, needs none. */
function libc(): ReturnType<typeof load>['functions'] {
  library ??= load()
  return library.functions
}

function errno(): number {
  // Read at once: the location is per thread and the next C call overwrites it.
  return getInt32(libc().__errno_location())
}

function checked(call: string, result: number): number {
  if (result < 0) throw new SystemError(call, errno())
  return result
}

const CLONE_NEWNET = 0x40000000 // linux/sched.h

/** Moves the calling thread into the network namespace behind `fd` (setns(2)). */
export const setNetns = (fd: number): void => {
  checked('setns', libc().setns(fd, CLONE_NEWNET))
}

const AF_NETLINK = 16
const SOCK_RAW = 3
const SOCK_CLOEXEC = 0o2000000
const NETLINK_ROUTE = 0
const SOL_NETLINK = 270
const SOL_SOCKET = 1
const SO_RCVTIMEO = 20
/** Removing a link takes tens of milliseconds, more where many are removed at once. */
const netlinkWaitMaxSeconds = 30
/** Socket options of linux/netlink.h: short acks without the request in them, with the kernel's words instead. */
const netlinkOptions = { NETLINK_CAP_ACK: 10, NETLINK_EXT_ACK: 11, NETLINK_GET_STRICT_CHK: 12 }

/** struct sockaddr_nl of the kernel: the family, and port 0. */
const kernelAddress = Buffer.from([AF_NETLINK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])

/**
 * A NETLINK_ROUTE socket of the calling thread's network namespace; it stays in it wherever the thread goes. Connected to
 * the kernel it takes answers from nobody else: a pod that may administer its network could forge them.
 */
export function openNetlink(): number {
  const fd = checked('socket(AF_NETLINK)', libc().socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE))
  checked('connect(AF_NETLINK)', libc().connect(fd, kernelAddress, kernelAddress.length))
  // struct timeval, seconds and microseconds: a kernel that owes an answer longer than this has lost it.
  const patience = Buffer.alloc(16)
  patience.writeBigInt64LE(BigInt(netlinkWaitMaxSeconds))
  checked('setsockopt(SO_RCVTIMEO)', libc().setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, patience, patience.length))
  const on = Buffer.from([1, 0, 0, 0])
  for (const option of Object.values(netlinkOptions)) {
    // Kernels before 4.12 know none of them and before 4.20 not the last: they answer without words, that is all.
    libc().setsockopt(fd, SOL_NETLINK, option, on, on.length)
  }
  return fd
}

/** Only the probe of addresses needs these: in the table above every call of the program would pay for them. */
const packetSignatures = { bind: { arguments: ['i32', 'buffer', 'u32'], return: 'i32' } } as const
const loadPacket = () => dlopen(null, packetSignatures)
// Held whole, as the library above.
let packetLibrary: ReturnType<typeof loadPacket> | undefined

/** Only a journal that has grown large needs this. */
const syncSignatures = { syncfs: { arguments: ['i32'], return: 'i32' } } as const
const loadSync = () => dlopen(null, syncSignatures)
let syncLibrary: ReturnType<typeof loadSync> | undefined

/** Writes all of the file system of an open file to the disk (syncfs(2)). */
export function syncFilesystem(fd: number): void {
  syncLibrary ??= loadSync()
  checked('syncfs', syncLibrary.functions.syncfs(fd))
}

const AF_PACKET = 17
const SO_SNDTIMEO = 21
const SOL_PACKET = 263
const PACKET_ADD_MEMBERSHIP = 1

/** struct sockaddr_ll of linux/if_packet.h: family, protocol (network byte order), interface index. */
function linkAddress(linkIndex: number, protocol: number): Buffer {
  const address = Buffer.alloc(20)
  address.writeUInt16LE(AF_PACKET, 0)
  address.writeUInt16BE(protocol, 2)
  address.writeInt32LE(linkIndex, 4)
  return address
}

/** struct packet_mreq of linux/if_packet.h: interface index, PACKET_MR_MULTICAST (0), length, MAC. */
function multicastMembership(linkIndex: number, group: Uint8Array): Buffer {
  const membership = Buffer.alloc(16)
  membership.writeInt32LE(linkIndex, 0)
  membership.writeUInt16LE(group.length, 6)
  membership.set(group, 8)
  return membership
}

/** struct timeval. One of zero would mean to wait for ever. */
function timeval(ms: number): Buffer {
  const microseconds = Math.max(1, Math.floor(ms * 1000))
  const bytes = Buffer.alloc(16)
  bytes.writeBigInt64LE(BigInt(Math.floor(microseconds / 1e6)))
  bytes.writeBigInt64LE(BigInt(microseconds % 1e6), 8)
  return bytes
}

/**
 * A socket for whole Ethernet frames of one protocol (linux/if_ether.h) on one link of the calling thread's network
 * namespace; as netlink's it stays there. `groups` are multicast MACs that the link takes in while the socket is open.
 */
export function openPacket(linkIndex: number, protocol: number, groups: readonly Uint8Array[]): number {
  // Protocol 0 hears nothing: with any other the socket would hear every link until it is bound to one.
  const fd = checked('socket(AF_PACKET)', libc().socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0))
  try {
    packetLibrary ??= loadPacket()
    const address = linkAddress(linkIndex, protocol)
    checked('bind(AF_PACKET)', packetLibrary.functions.bind(fd, address, address.length))
    for (const group of groups) {
      const membership = multicastMembership(linkIndex, group)
      const result = libc().setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership, membership.length)
      checked('setsockopt(PACKET_ADD_MEMBERSHIP)', result)
    }
    return fd
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/** How long a write to the socket waits for room, and a read for something to come, before they fail with EAGAIN. */
export function setPatience(fd: number, direction: 'send' | 'receive', ms: number): void {
  const option = direction === 'send' ? SO_SNDTIMEO : SO_RCVTIMEO
  const patience = timeval(ms)
  checked('setsockopt(SO_*TIMEO)', libc().setsockopt(fd, SOL_SOCKET, option, patience, patience.length))
}

const LOCK_EX = 2
const LOCK_NB = 4

/** Takes the exclusive flock(2) of an open file, which the kernel frees with it; false when another holds it. */
export function tryFlock(fd: number): boolean {
  if (libc().flock(fd, LOCK_EX | LOCK_NB) === 0) return true
  const reason = errno()
  const EAGAIN = 11
  const EINTR = 4
  if (reason === EAGAIN || reason === EINTR) return false
  throw new SystemError('flock', reason)
}

/**
 * Ends the process at once if a call above was made in it, and returns if none was. The system takes memory and threads away
 * by itself; that V8 and the C library put everything in order first takes half a millisecond that somebody waits for.
 */
export function endProcess(exitCode: number): void {
  library?.functions._exit(exitCode)
}
