/** The directory of leases: its names, and the records they lead to. Reading only. */
import { existsSync, lstatSync, readdirSync } from 'node:fs'
import { type Ip, type Span, spanContains } from '../../shared/address.ts'
import { describeKey, sameKey } from '../../shared/attachment.ts'
import { CniError } from '../../shared/cni/errors.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import { isErrno, readIfExists } from '../../shared/disk.ts'
import { checkHeld } from '../lock/held.ts'
import {
  addressName,
  attachmentName,
  isAttachmentName,
  isKeptName,
  keptNameOf,
  parseAddressName,
  parseAttachmentName,
} from './names.ts'
import { type AttachmentRecord, holdsAddress, parseRecord, recordKey } from './record.ts'
import type { DamagedRecord, Kept, Listing } from './store.ts'

/** Far more than the longest record; what is larger is not one of ours. */
const fileMaxBytes = 1024 * 1024

/** Where a data directory keeps its leases. */
export const leasesPath = (dataDir: string): string => `${dataDir}/leases`

/** A system error as the runtime shall see it, with what was being done. */
export function toIoError(doing: string, error: unknown): unknown {
  if (error instanceof CniError || !(error instanceof Error) || !('code' in error)) return error
  return new CniError('ERR_IO', `Cannot ${doing}: ${error.message}`, { cause: error })
}

export class LeaseDirectory {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  at(name: string): string {
    return `${this.path}/${name}`
  }

  /** All names in no order; none when the directory is not there. */
  names(): string[] {
    checkHeld()
    try {
      return readdirSync(this.path)
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return []
      throw toIoError(`list "${this.path}"`, error)
    }
  }

  /** All names, for who asks the disk about each: on a share that takes so long that other hosts must hear of us meanwhile. */
  *eachName(): Generator<string, void> {
    for (const name of this.names()) {
      checkHeld()
      yield name
    }
  }

  /** What a name leads to; undefined when it is gone. A bigint: some file systems use all 64 bits of it. */
  inode(name: string): bigint | undefined {
    return lstatSync(this.at(name), { bigint: true, throwIfNoEntry: false })?.ino
  }

  has(name: string): boolean {
    // A wrong "no" (a directory that cannot be searched) does no harm: the link(2) that follows finds out.
    return existsSync(this.at(name))
  }

  /** The record that a name leads to, whosever it is; 'damaged' when there is something else, undefined when the name is gone. */
  read(name: string): AttachmentRecord | 'damaged' | undefined {
    const text = readIfExists(this.at(name), fileMaxBytes)
    return text === undefined ? undefined : (parseRecord(text) ?? 'damaged')
  }

  /** The attachment's record; 'damaged' when there is something else under its name. */
  record(key: AttachmentKey): AttachmentRecord | 'damaged' | undefined {
    const record = this.read(attachmentName(key))
    return record === undefined || record === 'damaged' || sameKey(recordKey(record), key) ? record : 'damaged'
  }

  /** As record(), for who cannot go on with a damaged one. Throws ERR_DAMAGED. */
  find(key: AttachmentKey): AttachmentRecord | undefined {
    const record = this.record(key)
    if (record !== 'damaged') return record
    const message = `Cannot read the record of ${describeKey(key)}: "${this.at(attachmentName(key))}" is damaged`
    throw new CniError('ERR_DAMAGED', message, { details: 'a DEL of the attachment releases what it holds' })
  }

  holder(space: string, ip: Ip): AttachmentRecord | undefined {
    const record = this.read(addressName(space, ip))
    return record === undefined || record === 'damaged' || !holdsAddress(record, space, ip) ? undefined : record
  }

  /** What is kept under this name; undefined when that is nothing, or not of this network, pod and interface. */
  kept(name: string): Kept | undefined {
    const stat = lstatSync(this.at(name), { throwIfNoEntry: false })
    const record = stat && this.read(name)
    if (stat === undefined || record === undefined || record === 'damaged') return undefined
    return keptNameOf(record) === name ? { record, sinceMs: stat.mtimeMs } : undefined
  }

  /** The addresses of a record that cannot be read: it cannot say what it holds, but names of its file can. */
  namesOfDamaged(name: string): string[] {
    const ino = this.inode(name)
    return this.eachName()
      .filter((one) => parseAddressName(one) !== undefined && this.inode(one) === ino)
      .toArray()
  }

  /** All that is kept and can be read. */
  allKept(): Kept[] {
    return this.eachName()
      .filter(isKeptName)
      .map((name) => this.kept(name))
      .filter((kept) => kept !== undefined)
      .toArray()
  }

  #recordNamed(name: string): AttachmentRecord | 'damaged' | undefined {
    const key = parseAttachmentName(name)
    return key === undefined ? 'damaged' : this.record(key)
  }

  /** All attachments' records, one read at a time, for who may have seen enough before the last one. */
  *records(): Generator<AttachmentRecord | DamagedRecord, void> {
    for (const name of this.eachName()) {
      const record = isAttachmentName(name) ? this.#recordNamed(name) : undefined
      if (record === 'damaged') yield { damaged: name, key: parseAttachmentName(name) }
      else if (record !== undefined) yield record
    }
  }

  list(): Listing {
    const records: AttachmentRecord[] = []
    const kept: Kept[] = []
    const damaged: string[] = []
    for (const name of this.eachName()) {
      if (isKeptName(name)) {
        const one = this.kept(name)
        if (one !== undefined) kept.push(one)
        // Without the lock it may have been taken up since.
        else if (this.has(name)) damaged.push(name)
      } else if (isAttachmentName(name)) {
        const record = this.#recordNamed(name)
        if (record === 'damaged') damaged.push(name)
        else if (record !== undefined) records.push(record)
      }
    }
    return { records, kept, damaged }
  }

  /**
   * The lowest addresses of a span that nobody holds, outside `blocked` (sorted, not overlapping), at most `max`: found
   * between those, which are never walked.
   */
  free(space: string, span: Span, blocked: readonly Span[], max: number): Ip[] {
    const held = this.names()
      .map(parseAddressName)
      .filter((one) => one?.space === space && spanContains(span, one.ip))
      .map((one) => one?.ip.value ?? 0n)
      .map((value) => ({ first: value, last: value }))
    const free: Ip[] = []
    let value = span.first
    for (const { first, last } of [...held, ...blocked].sort((a, b) => (a.first < b.first ? -1 : 1))) {
      for (; value < first && value <= span.last && free.length < max; value++)
        free.push({ family: span.family, value })
      if (value <= last) value = last + 1n
    }
    for (; value <= span.last && free.length < max; value++) free.push({ family: span.family, value })
    return free
  }
}
