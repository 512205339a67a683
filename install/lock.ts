/** One installer at a time in a folder of plugins. */
import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { ownFolder } from '../shared/aliases.ts'
import { isErrno, makePublicDirectory } from '../shared/disk.ts'
import { tryFlock } from '../shared/host/libc.ts'
import { messageOf } from '../shared/message.ts'
import { statOf } from './files.ts'
import { lockName } from './layout.ts'

const lockWaitMs = 60_000
const lockPauseMs = 50

/** Undefined when an installer that is at its end has removed the folder meanwhile. */
function openLock(own: string): number | undefined {
  try {
    makePublicDirectory(own)
    return openSync(join(own, lockName), constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined
    throw new Error(`Cannot write into "${own}": ${messageOf(error)}`, { cause: error })
  }
}

/** Whoever uninstalls takes the file away: then it keeps nobody out any more. */
function isStillThere(fd: number, own: string): boolean {
  const [held, named] = [fstatSync(fd), statOf(join(own, lockName))]
  return named !== undefined && held.ino === Number(named.ino) && held.dev === Number(named.dev)
}

/** Holds what keeps a second installer out until it is disposed of, or its process dies. Throws an Error after a minute. */
export async function takeInstallLock(binDir: string, waitMs = lockWaitMs): Promise<Disposable> {
  const own = join(binDir, ownFolder)
  for (let waitedMs = 0; ; waitedMs += lockPauseMs) {
    const fd = openLock(own)
    if (fd !== undefined) {
      if (tryFlock(fd) && isStillThere(fd, own)) return { [Symbol.dispose]: () => closeSync(fd) }
      closeSync(fd)
    }
    if (waitedMs >= waitMs) throw new Error(`Cannot install into "${binDir}": another installer is at work there`)
    await pause(lockPauseMs)
  }
}
