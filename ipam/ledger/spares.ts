/**
 * Files of released records, used again for the next ones. Making an inode is the dearest part of a claim on a disk that has freed
 * many a short while ago (docs/decisions/002-store.md), and a node gives back as much as it takes.
 *
 * Used while the lock is held. A spare file has one name, which nobody looks at, until it is given a record and its names.
 */
import { closeSync, constants, fstatSync, ftruncateSync, lstatSync, openSync, readdirSync } from 'node:fs'
import { isErrno, moveIfThere, moveName, removeName, writeFully, writeUnsynced } from '../../shared/disk.ts'

/** As many as a node may give back at once before it takes some. */
const sparesMax = 128
const prefix = 'spare,'

export class Spares {
  readonly #directory: string
  /** How many this process has put there; another one may have taken the first of them, or left one. */
  #count = 0

  constructor(directory: string) {
    this.#directory = directory
  }

  #at(index: number): string {
    return `${this.#directory}/${prefix}${index}`
  }

  /** Takes a file's last name away, and keeps the file. One that has another name is left to that. */
  keep(path: string): void {
    const isOnly = this.#count < sparesMax && lstatSync(path, { throwIfNoEntry: false })?.nlink === 1
    if (!isOnly || !this.#move(path)) removeName(path)
  }

  /** False when the disk has no room for another name: a release needs none. */
  #move(path: string): boolean {
    try {
      moveName(path, this.#at(this.#count))
      this.#count++
      return true
    } catch (error) {
      if (isErrno(error, 'ENOSPC', 'EDQUOT')) return false
      throw error
    }
  }

  /** Writes a file of that name. Until then it may have what it had before, or a part of it: nobody reads it. */
  write(path: string, content: string): void {
    const fd = this.#take(path)
    if (fd === undefined) {
      writeUnsynced(path, content)
      return
    }
    try {
      const bytes = Buffer.from(content)
      writeFully(fd, bytes, 0)
      ftruncateSync(fd, bytes.length)
    } finally {
      closeSync(fd)
    }
  }

  #take(path: string): number | undefined {
    if (this.#count > 0) this.#count--
    if (!moveIfThere(this.#at(this.#count), path)) return undefined
    const fd = openSync(path, constants.O_WRONLY | constants.O_NOFOLLOW)
    // After a power cut a spare file may be a record's as well.
    if (fstatSync(fd).nlink === 1) return fd
    closeSync(fd)
    return undefined
  }

  /** Removes all of them: after a power cut nobody knows what else they are. */
  clear(): void {
    for (const name of readdirSync(this.#directory)) {
      if (name.startsWith(prefix)) removeName(`${this.#directory}/${name}`)
    }
    this.#count = 0
  }
}
