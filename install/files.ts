/** What an installer does to files: everything is there whole or not at all, and on the disk when the function returns. */
import { createHash } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  symlinkSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { discardName, isErrno, moveName, removeName, syncDirectory, writeFully } from '../shared/disk.ts'
import { passing } from './layout.ts'

const chunkBytes = 1024 * 1024

/** Calls `take` with each piece of a file and where it stands. */
function eachChunk(path: string, take: (chunk: Buffer, position: number) => void): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const buffer = Buffer.allocUnsafe(chunkBytes)
    for (let position = 0; ; ) {
      const read = readSync(fd, buffer, 0, buffer.length, position)
      if (read === 0) return
      take(buffer.subarray(0, read), position)
      position += read
    }
  } finally {
    closeSync(fd)
  }
}

/** The SHA-256 of a file, in lower-case hexadecimal digits. A symbolic link is not followed. */
export function sha256Of(path: string): string {
  const hash = createHash('sha256')
  eachChunk(path, (chunk) => hash.update(chunk))
  return hash.digest('hex')
}

function copyTo(from: string, to: string, mode: number): void {
  const fd = openSync(to, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
  try {
    eachChunk(from, (chunk, position) => writeFully(fd, chunk, position))
    fchmodSync(fd, mode)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Copies a file and reads back what stands there, before it gets its name. Throws when that is not what it was to be. */
export function copyVerified(from: string, to: string, mode: number, sha256: string): void {
  const temporary = join(dirname(to), `${passing}${basename(to)}`)
  removeName(temporary)
  try {
    copyTo(from, temporary, mode)
    const got = sha256Of(temporary)
    if (got !== sha256) throw new Error(`its SHA-256 is ${got} where it was to be ${sha256}`)
    moveName(temporary, to)
  } catch (error) {
    discardName(temporary)
    throw error
  }
  syncDirectory(dirname(to))
}

/** Makes a name a symbolic link at one instant, over whatever has it. `temporary` is a name of the caller's alone on the same file system. */
export function linkTo(target: string, path: string, temporary: string): void {
  removeName(temporary)
  symlinkSync(target, temporary)
  moveName(temporary, path)
  syncDirectory(dirname(path))
}

/** Gives what stands at `path` a second name; one that was kept there before is given up. */
export function keepAs(path: string, kept: string): void {
  removeName(kept)
  linkSync(path, kept)
  syncDirectory(dirname(kept))
}

/** Whether something stands at a path that cannot be looked at because a part of it is no directory counts as nothing there. */
export function statOf(path: string): ReturnType<typeof lstatSync> {
  try {
    return lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    if (isErrno(error, 'ENOTDIR')) return undefined
    throw error
  }
}

/** What a file, or a directory with all that is in it, takes of the disk. */
export function bytesOf(path: string): number {
  const stat = statOf(path)
  if (stat === undefined) return 0
  const inner = stat.isDirectory() ? readdirSync(path).map((name) => bytesOf(join(path, name))) : []
  return inner.reduce((sum, bytes) => sum + bytes, Number(stat.blocks) * 512)
}

/** A path without symbolic links, as far as it is there. */
export function realPathOf(path: string): string {
  try {
    return realpathSync(path)
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error
    return join(realPathOf(dirname(path)), basename(path))
  }
}
