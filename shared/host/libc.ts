/**
 * The few system calls that Node does not offer, through node:ffi (docs/decisions/001-netlink-binding.md).
 *
 * node:ffi is experimental: a wrong signature key is silently void, so the binding proves itself once at load with a
 * call whose answer Node knows too. Nothing else in the program imports node:ffi.
 */

import { dlopen, getInt32, getRawPointer } from 'node:ffi'
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

/** The kernel's numbers of the calls (asm/unistd_64.h; asm-generic/unistd.h for arm64). */
const numbersOf = {
  x64: {
    madvise: 28,
    getpid: 39,
    socket: 41,
    connect: 42,
    bind: 49,
    setsockopt: 54,
    getsockopt: 55,
    fcntl: 72,
    flock: 73,
    exit_group: 231,
    unshare: 272,
    syncfs: 306,
    setns: 308,
    fsopen: 430,
    fsconfig: 431,
    fsmount: 432,
  },
  arm64: {
    fcntl: 25,
    flock: 32,
    exit_group: 94,
    unshare: 97,
    madvise: 233,
    getpid: 172,
    socket: 198,
    bind: 200,
    connect: 203,
    setsockopt: 208,
    getsockopt: 209,
    syncfs: 267,
    setns: 268,
    fsopen: 430,
    fsconfig: 431,
    fsmount: 432,
  },
} as const
type Call = keyof (typeof numbersOf)['x64']
export const callNumbers: Readonly<Record<Call, number>> = process.arch === 'arm64' ? numbersOf.arm64 : numbersOf.x64

/**
 * syscall(2) is all the binding that is needed. Both functions take seven words, which the second does not look at: for one that
 * takes fewer, node:ffi makes machine code and compiles wrappers, a tenth of a millisecond each in a cold process.
 */
const words = ['i64', 'i64', 'i64', 'i64', 'i64', 'i64', 'i64'] as const
const signatures = {
  syscall: { arguments: words, return: 'i64' },
  __errno_location: { arguments: words, return: 'i64' },
} as const

function load() {
  const library = dlopen(null, signatures)
  const { syscall } = library.functions
  if (syscall(BigInt(callNumbers.getpid), 0n, 0n, 0n, 0n, 0n, 0n) !== BigInt(process.pid)) {
    throw new CniError(
      'ERR_INTERNAL',
      `node:ffi of ${process.version} does not call the C library as this program needs`,
    )
  }
  return library
}

// Held whole for the life of the program: a collected library handle would unmap the functions.
let library: ReturnType<typeof load> | undefined

/** A number, or bytes that the kernel reads or writes during the call. */
type Argument = number | Uint8Array

const word = (argument: Argument | undefined): bigint =>
  typeof argument === 'object' ? getRawPointer(argument) : BigInt(argument ?? 0)

/**
 * Makes a system call and returns what it returns, or the negative errno, as the kernel itself does. The binding is loaded at the first one: a VERSION, or a
 * config that is refused, needs none.
 */
export function systemCall(name: Call, a: Argument, b?: Argument, c?: Argument, d?: Argument, e?: Argument): number {
  library ??= load()
  const { syscall, __errno_location } = library.functions
  const result = syscall(BigInt(callNumbers[name]), word(a), word(b), word(c), word(d), word(e), 0n)
  if (result >= 0n) return Number(result)
  // Read at once: the location is per thread and the next C call overwrites it.
  return -getInt32(__errno_location(0n, 0n, 0n, 0n, 0n, 0n, 0n))
}

/** As systemCall, and throws SystemError when it fails. */
export function checkedCall(name: Call, a: Argument, b?: Argument, c?: Argument, d?: Argument, e?: Argument): number {
  const result = systemCall(name, a, b, c, d, e)
  if (result < 0) throw new SystemError(name, -result)
  return result
}

const CLONE_NEWNET = 0x40000000 // linux/sched.h

/** Moves the calling thread into the network namespace behind `fd` (setns(2)). */
export const setNetns = (fd: number): void => void checkedCall('setns', fd, CLONE_NEWNET)

/** Moves the calling thread into a network namespace of its own (unshare(2)). */
export const leaveNetns = (): void => void checkedCall('unshare', CLONE_NEWNET)

/** Writes all of the file system of an open file to the disk (syncfs(2)). */
export const syncFilesystem = (fd: number): void => void checkedCall('syncfs', fd)

const LOCK_EX = 2
const LOCK_NB = 4

/** Takes the exclusive flock(2) of an open file, which the kernel frees with it; false when another holds it. */
export function tryFlock(fd: number): boolean {
  const result = systemCall('flock', fd, LOCK_EX | LOCK_NB)
  const [EINTR, EAGAIN] = [4, 11]
  if (result < 0 && result !== -EAGAIN && result !== -EINTR) throw new SystemError('flock', -result)
  return result === 0
}

const F_OFD_SETLK = 37 // linux/fcntl.h
const F_WRLCK = 1
const flockBytes = 32

/** Takes the lock of one byte of an open file for as long as that is open (fcntl_locking(2)); false when another holds it. */
export function tryLockByte(fd: number, place: number): boolean {
  // struct flock: type, from where (0: the beginning), start, length.
  const wish = Buffer.alloc(flockBytes)
  wish.writeInt16LE(F_WRLCK, 0)
  wish.writeBigInt64LE(BigInt(place), 8)
  wish.writeBigInt64LE(1n, 16)
  const result = systemCall('fcntl', fd, F_OFD_SETLK, wish)
  const [EINTR, EAGAIN, EACCES] = [4, 11, 13]
  if (result < 0 && ![-EINTR, -EAGAIN, -EACCES].includes(result)) throw new SystemError('fcntl', -result)
  return result === 0
}

/**
 * Ends the process at once if a call above was made in it, and returns if none was. The system takes memory and threads away
 * by itself; that V8 and the C library put everything in order first takes half a millisecond that somebody waits for.
 */
export function endProcess(exitCode: number): void {
  if (library !== undefined) systemCall('exit_group', exitCode)
}

// linux/mount.h
const FSOPEN_CLOEXEC = 1
const FSMOUNT_CLOEXEC = 1
const FSCONFIG = { SET_FLAG: 0, SET_STRING: 1, CMD_CREATE: 6 } as const
const MOUNT_ATTR = { RDONLY: 1, NOSUID: 2, NODEV: 4, NOEXEC: 8 } as const

const cText = (text: string): Uint8Array => Buffer.from(`${text}\0`)

/**
 * Mounts a disk to be read, nowhere: the descriptor that is returned is its root directory, and all that holds it. Throws SystemError:
 * ENOSYS before Linux 5.2, ENODEV for a file system that the kernel has not, EBUSY when the disk is mounted to be written to.
 */
export function mountDetached(fileSystem: string, disk: string): number {
  const context = checkedCall('fsopen', cText(fileSystem), FSOPEN_CLOEXEC)
  try {
    checkedCall('fsconfig', context, FSCONFIG.SET_FLAG, cText('ro'), 0, 0)
    checkedCall('fsconfig', context, FSCONFIG.SET_STRING, cText('source'), cText(disk), 0)
    checkedCall('fsconfig', context, FSCONFIG.CMD_CREATE, 0, 0, 0)
    const attributes = MOUNT_ATTR.RDONLY | MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV | MOUNT_ATTR.NOEXEC
    return checkedCall('fsmount', context, FSMOUNT_CLOEXEC, attributes)
  } finally {
    closeSync(context)
  }
}
