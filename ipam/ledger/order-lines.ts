/** The lines of an order's file, one for each freed address in the order of their freeing (ipam/FORMAT.md). */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  writeSync,
} from 'node:fs'
import { formatIp, type Ip, parseIp } from '../../shared/address.ts'
import { discardName, isErrno } from '../../shared/disk.ts'

/** An order that nobody takes from, and many give back to, starts anew: all it knows can be found again. */
const orderMaxBytes = 8 * 1024 * 1024
/** An order that nobody took from or gave back to for so long is probably one of a range that no config names any more. */
const idleMaxMs = 90 * 86_400_000

export interface Entry {
  readonly freedAtMs: number
  readonly ip: Ip
  readonly key: string
  readonly bytes: number
}

/** The end of a file from the byte `at` on. */
export interface Tail {
  readonly at: number
  readonly text: Buffer
}

export function parseEntry(line: Buffer): Entry | undefined {
  const [time = '', address = '', key = ''] = line.toString('utf8').split(' ')
  const ip = parseIp(address)
  // A time that is none would never be over.
  return ip === undefined || !/^[0-9]{1,15}$/.test(time)
    ? undefined
    : { freedAtMs: Number(time), ip, key, bytes: line.length + 1 }
}

export const renderEntry = (freedAtMs: number, ip: Ip, key: string): string => `${freedAtMs} ${formatIp(ip)} ${key}\n`

/** Reads an order's file, which has so many bytes; undefined when there is none, or something else has its name. */
function withFile<T>(path: string, read: (fd: number, size: number) => T): T | undefined {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ELOOP', 'ENXIO')) return undefined
    throw error
  }
  try {
    // A pipe would keep everybody waiting, and a directory is no order either.
    const stat = fstatSync(fd)
    return stat.isFile() ? read(fd, stat.size) : undefined
  } finally {
    closeSync(fd)
  }
}

const none = Buffer.alloc(0)

/** At most `length` bytes from `position` on, of a file of `size` bytes. */
function readPart(fd: number, size: number, position: number, length: number): Buffer {
  const wanted = Math.min(length, size - position)
  if (wanted <= 0) return none
  const bytes = Buffer.allocUnsafe(wanted)
  return bytes.subarray(0, readSync(fd, bytes, 0, wanted, position))
}

/** Some bytes of a file; none when it is not there. */
export const readAt = (path: string, position: number, length: number): Buffer =>
  withFile(path, (fd, size) => readPart(fd, size, position, length)) ?? none

interface Opened<Header> {
  readonly header: Header
  readonly size: number
  /** The file from the byte `at` on, as far as it was asked for. */
  readonly at: number
  readonly chunk: Buffer
}

/** Reads a file's header, of so many bytes, and up to `chunkBytes` from where that says that the rest begins. */
export function openOrder<Header extends { readonly head: number }>(
  path: string,
  headerBytes: number,
  chunkBytes: number,
  readHeader: (bytes: Buffer, size: number) => Header,
): Opened<Header> {
  const read = (fd: number, size: number): Opened<Header> => {
    const header = readHeader(readPart(fd, size, 0, headerBytes), size)
    return { header, size, at: header.head, chunk: readPart(fd, size, header.head, chunkBytes) }
  }
  return withFile(path, read) ?? { header: readHeader(none, 0), size: 0, at: headerBytes, chunk: none }
}

export function appendTo(path: string, text: string): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    if (fstatSync(fd).size > orderMaxBytes) ftruncateSync(fd, 0)
    writeSync(fd, text)
  } finally {
    closeSync(fd)
  }
}

/** The entry whose line has the byte `index`; undefined when it is none, or was not written to its end. */
export function entryAt(text: Buffer, index: number): Entry | undefined {
  const end = text.indexOf(10, index)
  return end < 0 ? undefined : parseEntry(text.subarray(index === 0 ? 0 : text.lastIndexOf(10, index - 1) + 1, end))
}

/** What an attachment freed itself, the last first. */
export function freedBy(key: string, { text }: Tail): Ip[] {
  const entries: Ip[] = []
  const pattern = ` ${key}\n`
  for (let at = text.indexOf(pattern); at >= 0; at = text.indexOf(pattern, at + 1)) {
    const entry = entryAt(text, at)
    if (entry !== undefined) entries.unshift(entry.ip)
  }
  return entries
}

/**
 * Removes the orders that nobody has used for long. One of a range that is used again after all costs it a search, and those
 * rests that were to be longer than this.
 */
export function removeIdle(directory: string, nowMs: number): void {
  for (const name of readdirSync(directory)) {
    const path = `${directory}/${name}`
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (stat?.isFile() && stat.mtimeMs + idleMaxMs < nowMs) discardName(path)
  }
}
