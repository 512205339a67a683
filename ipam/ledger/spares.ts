/**
 * Files of released records, used again for the next ones. Making an inode is the dearest part of a claim on a disk that has freed
 * many a short while ago (docs/decisions/002-store.md), and a node gives back as much as it takes.
 *
 * Used while the lock is held. A spare file has one name, which nobody looks at, until it is given a record and its names.
 */
import { closeSync, constants, ftruncateSync, lstatSync, openSync, readdirSync } from 'node:fs'
import { moveName, removeName, writeFully, writeUnsynced } from '../../shared/disk.ts'

/** As many as a node may give back at once before it takes some. */
const sparesMax = 128
const prefix = 'spare,'

export class Spares {
  readonly #directory: string
  /** How many this process has put there; another one may have taken the first of them, or left one. */
  #count = 0
  /** Nothing was there at the last look: as long as this process puts nothing there, it is not worth another. */
  #isEmpty = false

  constructor(directory: string) {
    this.#directory = directory
  }

  #at(index: number): string {
    return `${this.#directory}/${prefix}${index}`
  }

  /** Takes a file's last name away, and keeps the file. One that has another name is left to that. */
  keep(path: string): void {
    const isOnly = this.#count < sparesMax && isSpare(path)
    if (!isOnly || !moves(path, this.#at(this.#count))) {
      removeName(path)
      return
    }
    this.#count++
    this.#isEmpty = false
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
    if (this.#isEmpty) return undefined
    if (this.#count > 0) this.#count--
    const spare = this.#at(this.#count)
    // After a power cut a spare file may be a record's as well, and an administrator's hand may have left anything.
    if (!isSpare(spare) || !moves(spare, path)) {
      this.#isEmpty = this.#count === 0
      return undefined
    }
    return openSync(path, constants.O_WRONLY | constants.O_NOFOLLOW)
  }

  /** Removes all of them: after a power cut nobody knows what else they are. */
  clear(): void {
    for (const name of readdirSync(this.#directory)) {
      if (name.startsWith(prefix)) removeName(`${this.#directory}/${name}`)
    }
    this.#count = 0
  }
}

function isSpare(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  return stat?.isFile() === true && stat.nlink === 1
}

/** Whether a file could be given another name: one that cannot is no use as a spare, and no reason to fail. */
function moves(from: string, to: string): boolean {
  try {
    moveName(from, to)
    return true
  } catch {
    return false
  }
}
