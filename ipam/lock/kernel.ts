/**
 * The lock of a directory that one host has for itself: a flock(2), which the kernel frees the instant its holder dies, so
 * there is no stale lock to guess about.
 */

import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs'
import { monotonicMs } from '../../shared/clock.ts'
import { discardName, isErrno } from '../../shared/disk.ts'
import { tryFlock } from '../../shared/host/libc.ts'
import { pollMs, sleep } from './wait.ts'

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
  const deadline = monotonicMs() + waitMs
  for (;;) {
    const fd = tryLock(path)
    if (fd !== undefined || monotonicMs() >= deadline) return fd
    sleep(pollMs)
  }
}

/** Holds the flock of a file that is there only meanwhile; undefined when others hold it for longer than `waitMs`. */
export function holdKernelLock(path: string, waitMs: number): Disposable | undefined {
  const fd = waitForLock(path, waitMs)
  if (fd === undefined) return undefined
  return {
    [Symbol.dispose]: () => {
      // Removed while it is held: whoever waits for this file finds that it has no name any more, and makes a new one.
      discardName(path)
      closeSync(fd)
    },
  }
}

/** The five calls that proper-lockfile makes, in its words, on the kernel lock. */
export class KernelLock {
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
}
