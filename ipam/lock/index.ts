/**
 * The lock around a claim: proper-lockfile, standing on what the directory offers.
 *
 * proper-lockfile's own protocol (mkdir, and a clock to guess whether the holder lives) lets two waiters in when a holder
 * dies. Through its `fs` option it gets a "mkdir" and a "rmdir" that do not: a flock(2) where one host has the directory for
 * itself (kernel.ts), a file with a nonce where several share it (shared.ts; docs/decisions/002-store.md). All who use a
 * lock must use it in the same kind.
 */

import lockfile from 'proper-lockfile'
import { monotonicMs } from '../../shared/clock.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { isErrno } from '../../shared/disk.ts'
import { log } from '../../shared/log.ts'
import { noteHeld, signEveryMs } from './held.ts'
import { holdKernelLock, KernelLock } from './kernel.ts'
import type { LockKind } from './kind.ts'
import { SharedLock, type SharedLockOptions } from './shared.ts'

export { type LockKind, lockKindOf } from './kind.ts'

/** How long a call waits for the others: well inside the 60 seconds after which some runtimes give up. */
export const lockWaitMaxMs = 20_000

export interface LockOptions extends SharedLockOptions {
  /** `kernel` unless told; lockKindOf() knows which. */
  readonly kind?: LockKind
  readonly waitMs?: number
  /** How long the caller goes on trying, where that is longer. */
  readonly patienceMs?: number
}

/** What proper-lockfile calls; in its words, a lock is a directory. */
interface LockfileFs {
  mkdirSync(path: string): void
  rmdirSync(): void
  statSync(): { mtime: Date }
  utimesSync(mtime: Date): void
}

/** Takes the lock through proper-lockfile and returns what gives it back. Throws ELOCKED when another has it. */
function takeOnce(path: string, fs: LockfileFs): () => void {
  return lockfile.lockSync(path, {
    lockfilePath: path,
    realpath: false,
    // Its timer does not keep the process alive.
    update: signEveryMs,
    // It copies the methods of the object it is given, so they are handed over bound.
    fs: {
      mkdirSync: (name: string) => fs.mkdirSync(name),
      rmdirSync: () => fs.rmdirSync(),
      statSync: () => fs.statSync(),
      utimesSync: (_name: string, _atime: Date, mtime: Date) => fs.utimesSync(mtime),
      realpathSync: (name: string) => name,
    },
    // Its timer found the lock gone. Throwing there, as it would, ends a process; the release says what happened.
    onCompromised: (error) => log('warn', `lost the lock "${path}": ${error.message}`),
  })
}

function tryAgain(path: string, why: string, cause?: unknown): CniError {
  return new CniError('ERR_TRY_AGAIN', `Cannot lock "${path}": ${why}`, cause === undefined ? {} : { cause })
}

/** Who has it, where that can be said. */
function heldBy({ holder }: SharedLock): string {
  return holder === undefined ? '' : ` (process ${holder.pid} of host "${holder.host}", since ${holder.since})`
}

/** Waits for a shared lock. Throws ERR_TRY_AGAIN, with `why` and the holder, when others have it longer than `waitMs`. */
function takeShared(path: string, why: string, options: LockOptions, waitMs: number): Disposable {
  const lock = new SharedLock(path, options)
  const deadlineMs = monotonicMs() + waitMs
  for (;;) {
    try {
      const release = takeOnce(path, lock)
      const forget = noteHeld(path, () => lock.refresh())
      return {
        [Symbol.dispose]: () => {
          forget()
          releaseShared(release, lock)
        },
      }
    } catch (error) {
      if (!isErrno(error, 'ELOCKED')) throw error
      if (!lock.waitUntil(deadlineMs)) throw tryAgain(path, `${why}${heldBy(lock)}`, error)
    }
  }
}

function releaseShared(release: () => void, lock: SharedLock): void {
  try {
    release()
  } catch (error) {
    if (!isErrno(error, 'ERELEASED')) throw error
    // Its timer gave the lock up, which does not remove it if it is still ours.
    lock.rmdirSync()
  }
}

function takeKernel(path: string, why: string, waitMs: number): Disposable {
  try {
    return { [Symbol.dispose]: takeOnce(path, new KernelLock(waitMs)) }
  } catch (error) {
    throw isErrno(error, 'ELOCKED') ? tryAgain(path, why, error) : error
  }
}

/** Runs `work` holding the lock at `path`. Throws ERR_TRY_AGAIN when others hold it longer than `waitMs`. */
export function withLock<T>(path: string, work: () => T, options: LockOptions = {}): T {
  const { kind, waitMs = lockWaitMaxMs, patienceMs = waitMs } = options
  const why = `held by another call for more than ${patienceMs} ms`
  const held = kind === 'shared' ? takeShared(path, why, options, waitMs) : takeKernel(path, why, waitMs)
  try {
    return work()
  } finally {
    held[Symbol.dispose]()
  }
}

/**
 * Holds a name for as long as a call of one attachment lasts: on one host in the file `.locks` beside it, on a share in a file of
 * that name which is there only meanwhile. A runtime that lost a
 * call starts the next one while the first still runs; each must find what the other left, not what it is about to do.
 */
export function holdLock(path: string, options: LockOptions = {}): Disposable {
  const { kind, waitMs = lockWaitMaxMs, patienceMs = waitMs } = options
  const why = `another call of this attachment runs for more than ${patienceMs} ms`
  if (kind === 'shared') return takeShared(path, why, options, waitMs)
  const held = holdKernelLock(path, waitMs)
  if (held === undefined) throw tryAgain(path, why)
  return held
}
