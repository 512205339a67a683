/**
 * The lock around a claim: proper-lockfile, standing on a kernel lock.
 *
 * proper-lockfile's own protocol (mkdir, and a clock to guess whether the owner lives) lets two waiters in when an owner
 * dies. Through its `fs` option it gets a "mkdir" that takes a flock(2) instead and an "rmdir" that gives it back: the
 * kernel frees it the instant its owner dies, so there is no stale lock to guess about (docs/decisions/002-store.md).
 */
import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs'
import lockfile from 'proper-lockfile'
import { CniError } from '../shared/cni/errors.ts'
import { discardName, isErrno } from '../shared/disk.ts'
import { tryFlock } from '../shared/host/libc.ts'

/** How long a call waits for the others: well inside the 60 seconds after which some runtimes give up. */
const lockWaitMaxMs = 20_000
const pollMs = 1

const sleeper = new Int32Array(new SharedArrayBuffer(4))
const sleep = (ms: number): void => {
  Atomics.wait(sleeper, 0, 0, ms)
}

/** Opens the lock's file and takes its flock, unless the file was replaced meanwhile: then nobody else looks at it. */
function tryLock(path: string): number | undefined {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
  try {
    if (tryFlock(fd) && fstatSync(fd).ino === statSync(path).ino) return fd
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) {
      closeSync(fd)
      throw error
    }
  }
  closeSync(fd)
  return undefined
}

/** Waits for the flock of `path`; undefined when others hold it for longer than `waitMs`. */
function waitForLock(path: string, waitMs: number): number | undefined {
  const deadline = performance.now() + waitMs
  for (;;) {
    const fd = tryLock(path)
    if (fd !== undefined || performance.now() >= deadline) return fd
    sleep(pollMs)
  }
}

/**
 * Holds a lock for as long as a call of one attachment lasts, in a file that is there only meanwhile. A runtime that lost a
 * call starts the next one while the first still runs; each must find what the other left, not what it is about to do.
 */
export function holdLock(path: string, waitMs = lockWaitMaxMs): Disposable {
  const fd = waitForLock(path, waitMs)
  if (fd === undefined) {
    throw new CniError(
      'ERR_TRY_AGAIN',
      `Cannot lock "${path}": another call of this attachment runs for more than ${waitMs} ms`,
    )
  }
  return {
    [Symbol.dispose]: () => {
      // Removed while it is held: whoever waits for this file finds that it has no name any more, and makes a new one.
      discardName(path)
      closeSync(fd)
    },
  }
}

/** The five calls that proper-lockfile makes, in its words, on the kernel lock. */
class KernelLockFs {
  readonly #waitMs: number
  #fd: number | undefined

  constructor(waitMs: number) {
    this.#waitMs = waitMs
  }

  mkdirSync(path: string): void {
    this.#fd = waitForLock(path, this.#waitMs)
    if (this.#fd === undefined) throw Object.assign(new Error('lock is held'), { code: 'EEXIST' })
  }

  rmdirSync(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  /** A kernel lock is never stale: whoever holds it is alive. */
  statSync(): { mtime: Date } {
    return { mtime: new Date() }
  }

  utimesSync(): void {}

  realpathSync(path: string): string {
    return path
  }
}

/** proper-lockfile copies the methods of the object it is given, so they are handed over bound. */
function asLockfileFs(fs: KernelLockFs): Record<string, unknown> {
  return {
    mkdirSync: (path: string) => fs.mkdirSync(path),
    rmdirSync: () => fs.rmdirSync(),
    statSync: () => fs.statSync(),
    utimesSync: () => fs.utimesSync(),
    realpathSync: (path: string) => fs.realpathSync(path),
  }
}

/** Runs `work` holding the lock at `path`. Throws ERR_TRY_AGAIN when others hold it longer than `waitMs`. */
export function withLock<T>(path: string, work: () => T, waitMs = lockWaitMaxMs): T {
  let release: () => void
  try {
    const fs = asLockfileFs(new KernelLockFs(waitMs))
    release = lockfile.lockSync(path, { lockfilePath: path, realpath: false, fs })
  } catch (error) {
    if (isErrno(error, 'ELOCKED')) {
      const message = `Cannot lock "${path}": held by another call for more than ${waitMs} ms`
      throw new CniError('ERR_TRY_AGAIN', message, { cause: error })
    }
    throw error
  }
  try {
    return work()
  } finally {
    release()
  }
}
