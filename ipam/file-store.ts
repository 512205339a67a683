/**
 * The store in a directory: one file an attachment, with one more name for each address it holds (ipam/FORMAT.md).
 *
 * Invariants, at every instant and after every crash:
 * - an address is held if and only if its name exists; a name is only ever made by link(2), which one caller wins;
 * - a name always leads to a whole record: the file is on disk before its first name is made;
 * - an attachment's name is made before its addresses' and removed after them, so whoever knows the key finds them all.
 */
import { accessSync, constants, existsSync, lstatSync, readdirSync, statSync } from 'node:fs'
import { formatIp, type Ip } from '../shared/address.ts'
import { CniError } from '../shared/cni/errors.ts'
import type { AttachmentKey } from '../shared/cni/request.ts'
import {
  discardName,
  isErrno,
  linkExclusive,
  makeDirectory,
  readIfExists,
  removeName,
  syncDirectory,
  writeDurable,
} from '../shared/disk.ts'
import { holdLock, withLock } from './lock.ts'
import { type AttachmentRecord, describeKey, leaseIp, parseRecord, recordKey, renderRecord, sameKey } from './record.ts'
import type { Store } from './store.ts'

const temporaryPrefix = '.new,'

const attachmentName = ({ network, containerId, ifName }: AttachmentKey): string =>
  `${network},${containerId},${ifName}`
const addressName = (space: string, ip: Ip): string => (space === 'default' ? formatIp(ip) : `${formatIp(ip)}@${space}`)
const isAttachmentName = (name: string): boolean => !name.startsWith('.') && name.includes(',')

/** A system error as the runtime shall see it, with what was being done. */
function toIoError(doing: string, error: unknown): unknown {
  if (error instanceof CniError || !(error instanceof Error) || !('code' in error)) return error
  return new CniError('ERR_IO', `Cannot ${doing}: ${error.message}`, { cause: error })
}

/** Far more than the longest record; what is larger is not one of ours. */
const recordMaxBytes = 1024 * 1024

/** A record's text; '' for what is there and cannot be a record, which makes it a damaged one. */
const readText = (path: string): string | undefined => readIfExists(path, recordMaxBytes)

/** What a name leads to; undefined when it is gone. A bigint: some file systems use all 64 bits of it. */
function inodeOf(path: string): bigint | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false })?.ino
}

export class FileStore implements Store {
  readonly #directory: string
  readonly #lockPath: string
  readonly #callsDirectory: string

  /** `dataDir` holds `leases/`, `lock` and `calls/`; nothing is made before the first claim. */
  constructor(dataDir: string) {
    this.#directory = `${dataDir}/leases`
    this.#lockPath = `${dataDir}/lock`
    this.#callsDirectory = `${dataDir}/calls`
  }

  #path(name: string): string {
    return `${this.#directory}/${name}`
  }

  exists(): boolean {
    return statSync(this.#directory, { throwIfNoEntry: false }) !== undefined
  }

  locked<T>(work: () => T): T {
    try {
      makeDirectory(this.#directory)
      return withLock(this.#lockPath, work)
    } catch (error) {
      throw toIoError(`use the lease directory "${this.#directory}"`, error)
    }
  }

  hold(key: AttachmentKey): Disposable {
    try {
      makeDirectory(this.#callsDirectory)
      return holdLock(`${this.#callsDirectory}/${attachmentName(key)}`)
    } catch (error) {
      throw toIoError(`use the directory "${this.#callsDirectory}"`, error)
    }
  }

  find(key: AttachmentKey): AttachmentRecord | undefined {
    const path = this.#path(attachmentName(key))
    const text = readText(path)
    if (text === undefined) return undefined
    const record = parseRecord(text)
    if (record !== undefined && sameKey(recordKey(record), key)) return record
    const details = 'a DEL of the attachment releases what it holds'
    throw new CniError('ERR_DAMAGED', `Cannot read the record of ${describeKey(key)}: "${path}" is damaged`, {
      details,
    })
  }

  isHeld(space: string, ip: Ip): boolean {
    // A wrong "no" (a directory that cannot be searched) does no harm: the link(2) that follows finds out.
    return existsSync(this.#path(addressName(space, ip)))
  }

  holder(space: string, ip: Ip): AttachmentRecord | undefined {
    const text = readText(this.#path(addressName(space, ip)))
    return text === undefined ? undefined : parseRecord(text)
  }

  put(record: AttachmentRecord): Ip | undefined {
    const name = attachmentName(recordKey(record))
    const temporary = this.#path(temporaryPrefix + name)
    try {
      writeDurable(temporary, renderRecord(record))
      if (!linkExclusive(temporary, this.#path(name))) {
        throw new CniError('ERR_CONFLICT', `Cannot record ${describeKey(recordKey(record))}: it is recorded already`)
      }
      return this.#claimAddresses(temporary, record)
    } finally {
      // By now it is one name too many of the record, or a record without a name: DEL, or the next ADD, removes it too.
      discardName(temporary)
    }
  }

  complete(record: AttachmentRecord): boolean {
    const own = this.#path(attachmentName(recordKey(record)))
    const ino = inodeOf(own)
    for (const lease of record.leases) {
      const path = this.#path(addressName(record.space, leaseIp(lease)))
      if (!linkExclusive(own, path) && inodeOf(path) !== ino) return false
    }
    syncDirectory(this.#directory)
    return true
  }

  remove(key: AttachmentKey): boolean {
    const found = this.#removeNames(key)
    const leftOver = removeName(this.#path(temporaryPrefix + attachmentName(key)))
    if (found || leftOver) syncDirectory(this.#directory)
    return found
  }

  list(): { records: AttachmentRecord[]; damaged: string[] } {
    const records: AttachmentRecord[] = []
    const damaged: string[] = []
    for (const name of this.#names().filter(isAttachmentName)) {
      const text = readText(this.#path(name))
      if (text === undefined) continue
      const record = parseRecord(text)
      if (record !== undefined && attachmentName(recordKey(record)) === name) records.push(record)
      else damaged.push(name)
    }
    return { records, damaged }
  }

  #names(): string[] {
    try {
      return readdirSync(this.#directory)
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return []
      throw toIoError(`list "${this.#directory}"`, error)
    }
  }

  /** Gives the file its addresses' names and makes all names durable; on failure the attachment has none left. */
  #claimAddresses(file: string, record: AttachmentRecord): Ip | undefined {
    try {
      const ips = record.leases.map(leaseIp)
      const taken = ips.find((ip) => !linkExclusive(file, this.#path(addressName(record.space, ip))))
      if (taken !== undefined) this.#removeNames(recordKey(record))
      syncDirectory(this.#directory)
      return taken
    } catch (error) {
      this.#removeNames(recordKey(record))
      throw error
    }
  }

  /** Removes an attachment's names, addresses first. Only names of the same file go: another's are not ours. */
  #removeNames(key: AttachmentKey): boolean {
    const own = this.#path(attachmentName(key))
    const text = readText(own)
    if (text === undefined) return false
    const ino = inodeOf(own)
    const parsed = parseRecord(text)
    const record = parsed !== undefined && sameKey(recordKey(parsed), key) ? parsed : undefined
    // A damaged record cannot say what it holds; its names still can, being names of the same file.
    const names = record?.leases.map((lease) => addressName(record.space, leaseIp(lease))) ?? this.#names()
    for (const path of names.map((name) => this.#path(name))) {
      if (path !== own && inodeOf(path) === ino) removeName(path)
    }
    return removeName(own)
  }

  /** Throws unless a claim could be written now. */
  checkWritable(): void {
    try {
      makeDirectory(this.#directory)
      accessSync(this.#directory, constants.W_OK | constants.X_OK)
    } catch (error) {
      throw toIoError(`write to the lease directory "${this.#directory}"`, error)
    }
  }
}
