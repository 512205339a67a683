/**
 * Durable files: what is here survives kill -9 and power loss, and the order of the calls says why.
 * Plain fs.writeFile and fs.rename stand nowhere else (test/house).
 */
import {
  closeSync,
  constants,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { log } from './log.ts'

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
  const fd = createFile(path)
  try {
    writeFileSync(fd, content)
    fdatasyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function createFile(path: string): number {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  try {
    return openSync(path, flags, fileMode)
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error
    unlinkSync(path)
    return openSync(path, flags, fileMode)
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

/** Removes a name that does no harm if it stays: what fails is a warning. */
export function discardName(path: string): void {
  try {
    removeName(path)
  } catch (error) {
    log('warn', `cannot remove "${path}": ${error instanceof Error ? error.message : String(error)}`)
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
