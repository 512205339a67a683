/**
 * The locks of a directory that one host has for itself: a flock(2), or a lock of one byte of a file (fcntl(2), F_OFD_SETLK). The
 * kernel frees both the instant their holder dies, so there is no stale lock to guess about.
 */

import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { monotonicMs } from '../../shared/clock.ts'
import { isErrno } from '../../shared/disk.ts'
import { tryFlock, tryLockByte } from '../../shared/host/libc.ts'
import { pollMs, sleep } from './wait.ts'

/** Opens a lock's file and takes the lock, unless the file was replaced meanwhile: then nobody else looks at it. */
function tryLock(path: string, take: (fd: number) => boolean): number | undefined {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
  try {
    if (take(fd) && fstatSync(fd).ino === statSync(path).ino) return fd
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) {
      closeSync(fd)
      throw error
    }
  }
  closeSync(fd)
  return undefined
}

/** Waits for a lock; undefined when others hold it for longer than `waitMs`. */
function waitForLock(path: string, waitMs: number, take: (fd: number) => boolean): number | undefined {
  const deadline = monotonicMs() + waitMs
  for (;;) {
    const fd = tryLock(path, take)
    if (fd !== undefined || monotonicMs() >= deadline) return fd
    sleep(pollMs)
  }
}

/** Two hashes of 32 bits (FNV-1a) make a byte's place; names that share one wait for each other, and nothing else. */
function placeOf(name: string): number {
  let [low, high] = [0x811c9dc5, 0x01000193]
  for (const byte of Buffer.from(name)) {
    low = Math.imul(low ^ byte, 0x01000193)
    high = Math.imul(high ^ byte, 0x85ebca6b)
  }
  // As large as a number, and a file, may be.
  return (high & 0x1fffff) * 2 ** 32 + (low >>> 0)
}

/**
 * Holds a name: a byte of the file `.locks` beside it, which is never written to and stays. Making and removing a file for every
 * call would cost more than all else that the lock does. Undefined when others hold it for longer than `waitMs`.
 */
export function holdKernelLock(path: string, waitMs: number): Disposable | undefined {
  const place = placeOf(basename(path))
  const fd = waitForLock(`${dirname(path)}/.locks`, waitMs, (file) => tryLockByte(file, place))
  if (fd === undefined) return undefined
  return { [Symbol.dispose]: () => closeSync(fd) }
}

/** The five calls that proper-lockfile makes, in its words, on the kernel lock. */
export class KernelLock {
  readonly #waitMs: number
  #fd: number | undefined

  constructor(waitMs: number) {
    this.#waitMs = waitMs
  }

  mkdirSync(path: string): void {
    this.#fd = waitForLock(path, this.#waitMs, tryFlock)
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
}
