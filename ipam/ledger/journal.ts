/**
 * The journal: what makes a claim outlive a power cut, with one sync of the disk (ipam/FORMAT.md).
 *
 * The names in the lease directory are the truth for as long as the machine runs; a killed process takes none of them away. They
 * are not synced: every record is in the journal first, and at the first claim after a boot what the disk lost is made again
 * from there. Nothing is ever read from it otherwise.
 */

import {
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs'
import { instantAt, monotonicMs } from '../../shared/clock.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import { readIfExists, sizeOf, syncDirectory, writeFully } from '../../shared/disk.ts'
import { syncFilesystem } from '../../shared/host/libc.ts'
import { log } from '../../shared/log.ts'
import { messageOf } from '../../shared/message.ts'
import { attachmentName } from './names.ts'
import { type AttachmentRecord, parseRecord, recordKey } from './record.ts'

/** When it has grown to this, all names are synced at once and it starts anew: after some twenty thousand claims. */
const journalMaxBytes = 8 * 1024 * 1024
/** What a journal can have grown to by one write more. */
const readMaxBytes = 2 * journalMaxBytes
/** It grows by so many empty lines: what is written over them changes no size, and a sync writes nothing else. */
const stepBytes = 512 * 1024

/** `berth-journal 1 end <byte>`, spaces, line feed: where the next line is written. */
const headerBytes = 64
const header = /^berth-journal 1 end ([0-9]{1,15}) *\n/
const releasedPrefix = '- '
/** A sync that takes no longer costs less than waking a thread for it and coming back. */
const quickMaxMs = 0.5

function readEnd(fd: number): number {
  const bytes = Buffer.alloc(headerBytes)
  const [, end = ''] = header.exec(bytes.toString('latin1', 0, readSync(fd, bytes, 0, headerBytes, 0))) ?? []
  return end === '' ? headerBytes : Math.max(headerBytes, Number(end))
}

function writeEnd(fd: number, end: number): void {
  writeSync(fd, `${`berth-journal 1 end ${end}`.padEnd(headerBytes - 1)}\n`, 0)
}

export class Journal {
  readonly #directory: string
  readonly #path: string
  readonly #keepsOpen: boolean
  #kept: number | undefined
  #syncing: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined
  #underWay = 0
  /** How long the last of those took that several may wait for; before the first nobody knows. */
  #lastSyncMs = Number.POSITIVE_INFINITY

  /** `keepsOpen`: for a process that writes to it again and again. */
  constructor(directory: string, keepsOpen = false) {
    this.#directory = directory
    this.#keepsOpen = keepsOpen
    this.#path = `${directory}/journal`
  }

  /** Returns when the lines of records are on disk, unless flush() will see to that. */
  append(lines: string, synced = true): void {
    this.#write((fd, size) => {
      const end = readEnd(fd)
      const isFull = end > journalMaxBytes
      if (isFull) this.#empty(fd)
      this.#writeLines(fd, lines, isFull ? headerBytes : end, isFull ? headerBytes : size)
      if (synced) fdatasyncSync(fd)
    })
  }

  /** Returns when all lines written so far are on disk. */
  sync(): void {
    this.#write((fd) => fdatasyncSync(fd))
  }

  /** Resolves when all lines written so far are on disk; whoever asks while a sync is under way shares the next one. */
  flush(): Promise<void> {
    this.#next ??= this.#afterTheLast()
    return this.#next
  }

  /**
   * As sync(), where nobody has to stop for long: false when the last sync took its time, and when one is under way, for of a failure the
   * kernel tells one of two who wait on one file.
   */
  tryQuickSync(): boolean {
    if (this.#underWay > 0 || this.#lastSyncMs > quickMaxMs) return false
    const sinceMs = monotonicMs()
    this.sync()
    this.#lastSyncMs = monotonicMs() - sinceMs
    return true
  }

  /** One that waits for a sync that fails has failed as well: the kernel takes what it could not write for written afterwards. */
  async #afterTheLast(): Promise<void> {
    const before = this.#syncing
    this.#underWay++
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    promise.catch(() => undefined)
    this.#syncing = promise
    try {
      await before
      this.#next = undefined
      const sinceMs = monotonicMs()
      await this.#sync()
      this.#lastSyncMs = monotonicMs() - sinceMs
      resolve()
    } catch (error) {
      this.#next = undefined
      if (this.#syncing === promise) this.#syncing = Promise.resolve()
      reject(error)
      throw error
    } finally {
      this.#underWay--
    }
  }

  async #sync(): Promise<void> {
    const fd = this.#kept ?? openSync(this.#path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
    try {
      await new Promise<void>((resolve, reject) => {
        fdatasync(fd, (error) => (error === null ? resolve() : reject(error)))
      })
    } finally {
      if (fd !== this.#kept) closeSync(fd)
    }
  }

  /**
   * Notes a release. Synced only when it says so: one that is forgotten is of an earlier boot when it is remembered, which is
   * enough to release it again where that tells something.
   */
  release(key: AttachmentKey, nowMs: number, synced = false): void {
    try {
      const line = `${releasedPrefix}${instantAt(nowMs).toISOString()} ${attachmentName(key)}\n`
      this.#write((fd, size) => {
        // Otherwise only where there is room already: a full disk must not keep an address, nor a release wait for it to grow.
        const end = readEnd(fd)
        if (!synced && end + Buffer.byteLength(line) > size) return
        this.#writeLines(fd, line, end, size)
        if (synced) fdatasyncSync(fd)
      })
    } catch (error) {
      // A release needs no room on the disk.
      log('warn', `cannot note a release: ${messageOf(error)}`)
    }
  }

  /** The last record of every attachment that was not released, the latest first; and what was released and not claimed again. */
  read(): { standing: AttachmentRecord[]; released: { name: string; atMs: number }[] } {
    const latest = new Map<string, AttachmentRecord>()
    const released = new Map<string, number>()
    for (const line of this.#lines()) {
      if (line.startsWith(releasedPrefix)) {
        const [, time = '', ...name] = line.split(' ')
        latest.delete(name.join(' '))
        released.set(name.join(' '), Date.parse(time))
      }
      const record = line.startsWith('{') ? parseRecord(`${line}\n`) : undefined
      if (record === undefined) continue
      const name = attachmentName(recordKey(record))
      // Deleted first: a map remembers when a key came in, not when it was changed.
      latest.delete(name)
      latest.set(name, record)
      released.delete(name)
    }
    return {
      standing: [...latest.values()].reverse(),
      released: [...released].map(([name, atMs]) => ({ name, atMs })),
    }
  }

  /** What was written up to its end; all of it when the end cannot be told. A line behind it was never answered for. */
  #lines(): string[] {
    const text = readIfExists(this.#path, readMaxBytes)
    if (text === undefined) return []
    const [, end] = header.exec(text) ?? []
    const bytes = Buffer.from(text)
    return bytes
      .subarray(0, end === undefined ? bytes.length : Number(end))
      .toString('utf8')
      .split('\n')
  }

  /** Syncs all names: nothing is needed of the journal any more. */
  startAnew(): void {
    if (sizeOf(this.#path) > 0) this.#write((fd) => this.#empty(fd))
  }

  #empty(fd: number): void {
    syncFilesystem(fd)
    ftruncateSync(fd, 0)
    writeEnd(fd, headerBytes)
    fdatasyncSync(fd)
  }

  #writeLines(fd: number, lines: string, end: number, size: number): void {
    const bytes = Buffer.from(lines)
    if (end + bytes.length > size) {
      writeFully(fd, Buffer.alloc(bytes.length + stepBytes, '\n'), size)
      fsyncSync(fd)
      if (size === 0) syncDirectory(this.#directory)
    }
    writeFully(fd, bytes, end)
    writeEnd(fd, end + bytes.length)
  }

  /** Lets go of the file; a sync that is under way has its own. */
  close(): void {
    if (this.#kept !== undefined) closeSync(this.#kept)
    this.#kept = undefined
  }

  /** Hands out the file and its size. */
  #write(work: (fd: number, size: number) => void): void {
    const kept = this.#kept === undefined ? undefined : fstatSync(this.#kept)
    // One that somebody removed is read by nobody any more. A sync that is under way has its own error to tell.
    if (this.#kept !== undefined && kept !== undefined && kept.nlink > 0) {
      work(this.#kept, kept.size)
      return
    }
    if (this.#underWay === 0) this.close()
    const fd = openSync(this.#path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
    if (this.#keepsOpen) this.#kept = fd
    try {
      work(fd, fstatSync(fd).size)
    } finally {
      if (fd !== this.#kept) closeSync(fd)
    }
  }
}
