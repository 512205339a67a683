/**
 * Durable files: what is here survives kill -9 and power loss, and the order of the calls says why.
 * Plain fs.writeFile and fs.rename stand nowhere else (test/house).
 */
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fdatasync,
  fdatasyncSync,
  fsync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { basename, dirname } from 'node:path'
import { inThread } from './in-thread.ts'
import { log } from './log.ts'
import { messageOf } from './message.ts'

const directoryMode = 0o700
const fileMode = 0o600

/** True for a Node error that carries this system error name, `ENOENT` say. */
export function isErrno(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code)
}

/**
 * Makes a directory and its parents, 0700, and makes the new names durable; existing ones are left as they are.
 * Not Node's recursive mkdir: where a file system refuses with ENOENT (procfs), that one tries for ever.
 */
export function makeDirectory(path: string): void {
  if (existsSync(path)) return
  const parent = dirname(path)
  if (parent !== path) makeDirectory(parent)
  try {
    mkdirSync(path, { mode: directoryMode })
  } catch (error) {
    // Another call made it meanwhile.
    if (!isErrno(error, 'EEXIST')) throw error
  }
  syncDirectory(parent)
}

/** As makeDirectory, with a mode that lets everybody look into it, whatever the umask. */
export function makePublicDirectory(path: string): void {
  if (existsSync(path)) return
  makePublicDirectory(dirname(path))
  try {
    mkdirSync(path)
    chmodSync(path, 0o755)
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error
  }
  syncDirectory(dirname(path))
}

/** Makes the names in a directory durable. A file's fsync says nothing about its name (fsync(2)). */
export function syncDirectory(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/**
 * Writes a new file whose content is on disk when this returns; the name is not yet (syncDirectory).
 * A file left under that name by a killed process is replaced, never appended to and never followed.
 */
export function writeDurable(path: string, content: string): void {
  const fd = createFile(path, content)
  try {
    fdatasyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function openNew(path: string): number {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  try {
    return openSync(path, flags, fileMode)
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error
    unlinkSync(path)
    return openSync(path, flags, fileMode)
  }
}

function createFile(path: string, content: string): number {
  const fd = openNew(path)
  try {
    writeFileSync(fd, content)
    return fd
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/** Gives a file one more name, only if nobody has that name: false when it is taken. */
export function linkExclusive(existing: string, name: string): boolean {
  try {
    linkSync(existing, name)
    return true
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false
    throw error
  }
}

/**
 * Makes a name that has its content from its first instant on, only if nobody has that name: false when it is taken. Holds
 * between the hosts of a network file system too. `temporary` is a name of the caller's alone in the same directory.
 */
export function createExclusive(path: string, temporary: string, content: string): boolean {
  try {
    closeSync(createFile(temporary, content))
    linkSync(temporary, path)
    return true
  } catch (error) {
    // open(2), O_EXCL: a reply of the server can be lost and the request be made twice, so it is not the answer that counts.
    if (lstatSync(temporary, { throwIfNoEntry: false })?.nlink === 2) return true
    if (isErrno(error, 'EEXIST')) return false
    throw error
  } finally {
    discardName(temporary)
  }
}

/**
 * Makes a name that has its content, and both are on disk when this resolves; false when somebody has the name. The disk is waited for
 * in a thread. Two callers may try at once: each writes a file of its own.
 */
export async function createDurable(path: string, content: string): Promise<boolean> {
  const temporary = `${dirname(path)}/.new,${basename(path)},${process.pid},${++temporaries}`
  const fd = createFile(temporary, content)
  try {
    await inThread((done) => fdatasync(fd, done))
    if (!linkExclusive(temporary, path)) return false
  } finally {
    closeSync(fd)
    discardName(temporary)
  }
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await inThread((done) => fsync(directory, done))
    return true
  } catch (error) {
    discardName(path)
    throw error
  } finally {
    closeSync(directory)
  }
}
let temporaries = 0

/** Gives a file another content, at one instant, and both are on disk when this returns. Callers hold what others would write it under. */
export function replaceDurable(path: string, content: string): void {
  const temporary = `${dirname(path)}/.new,${basename(path)}`
  try {
    writeDurable(temporary, content)
    renameSync(temporary, path)
  } catch (error) {
    discardName(temporary)
    throw error
  }
  syncDirectory(dirname(path))
}

/** Removes a name that does no harm if it stays: what fails is a warning. */
export function discardName(path: string): void {
  try {
    removeName(path)
  } catch (error) {
    log('warn', `cannot remove "${path}": ${messageOf(error)}`)
  }
}

/** Removes a name; false when it was not there. */
export function removeName(path: string): boolean {
  try {
    unlinkSync(path)
    return true
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false
    throw error
  }
}

/**
 * A small file's text, or undefined when there is no such name. What is not a regular file of at most `maxBytes` reads as
 * empty: a pipe would keep the call waiting, and a giant would eat it.
 */
export function readIfExists(path: string, maxBytes: number): string | undefined {
  // Most look-ups find nothing: that is no exception here, and unlike with existsSync every other failure is one.
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return undefined
  if (!stat.isFile() || stat.size > maxBytes) return ''
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW)
    try {
      return readFileSync(fd, 'utf8')
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    // Removed since the look.
    if (isErrno(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Bytes of a file; 0 when there is none, or something else of that name. */
export function sizeOf(path: string): number {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  return stat?.isFile() ? stat.size : 0
}

/** Writes all of it at this place of a file. A disk that fills up takes a part, and says so only to the next write. */
export function writeFully(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, position + done)
}

/** As writeDurable, and nothing is on disk before somebody syncs it. */
export const writeUnsynced = (path: string, content: string): void => closeSync(createFile(path, content))

/** Replaces a file whole, for what may be lost at a power cut: nothing is synced. Callers hold a lock, for the temporary name is one for all, or have a suffix of their own. */
export function replaceUnsynced(path: string, content: string, suffix = ''): void {
  const temporary = `${dirname(path)}/.new,${basename(path)}${suffix}`
  writeUnsynced(temporary, content)
  renameSync(temporary, path)
}

/** Gives a file a name that another one has, at one instant. Callers hold a lock: the passing name is one for all. */
export function replaceName(existing: string, name: string): void {
  const passing = `${dirname(name)}/.passing`
  removeName(passing)
  linkSync(existing, passing)
  renameSync(passing, name)
}

/** Sets a file's modification time. */
export const setTime = (path: string, timeMs: number): void => utimesSync(path, timeMs / 1000, timeMs / 1000)

/** Renames a file, and sets its modification time to say when. */
export function renameAt(from: string, to: string, timeMs: number): void {
  setTime(from, timeMs)
  renameSync(from, to)
}

/** Gives a file another name, at one instant and over whatever has it. */
export const moveName = (from: string, to: string): void => renameSync(from, to)

/** Runs `work`, and again in a directory made for it when that was missing: nearly always it is there. */
export function inDirectory<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error
  }
  makeDirectory(path)
  return work()
}

/** Removes a directory and all that is in it, if it is there. */
export const removeDirectory = (path: string): void => rmSync(path, { recursive: true, force: true })
