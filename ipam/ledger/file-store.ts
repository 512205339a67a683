/**
 * The store in a directory: one file an attachment, with one more name for each address it holds (ipam/FORMAT.md).
 *
 * Invariants, at every instant and after every crash:
 * - an address is held if and only if its name exists; a name is only ever made by link(2), which one caller wins;
 * - a record is in the synced journal and its file is whole before its first name is made; on a share the file is synced;
 * - an attachment's name is made before its addresses' and removed after them, so whoever knows the key finds them all.
 */
import { accessSync, constants, statSync } from 'node:fs'
import type { Ip, Span } from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import {
  discardName,
  makeDirectory,
  readIfExists,
  removeName,
  replaceUnsynced,
  syncDirectory,
  writeDurable,
  writeUnsynced,
} from '../../shared/disk.ts'
import { holdLock, lockKindOf, withLock } from '../lock/index.ts'
import { toIoError } from './directory.ts'
import { inspectLeases } from './inspect.ts'
import { Journal } from './journal.ts'
import { LeaseFiles } from './lease-files.ts'
import { addressName, attachmentName, isLeftOverName, keptNameOf, orderName, temporaryPrefix } from './names.ts'
import { FileOrder } from './order.ts'
import { type AttachmentRecord, describeKey, recordKey, renderRecord } from './record.ts'
import { type Finding, isExpired, type Kept, type Listing, type Order, type Store } from './store.ts'

const bootIdMaxBytes = 100
const looksMaxBytes = 64 * 1024 * 1024
/** Free addresses that one look at all names brings into an order. */
const refillMax = 4096

function refuseTwice(records: readonly AttachmentRecord[]): void {
  const names = records.map((record) => attachmentName(recordKey(record)))
  const twice = records.find((_, index) => names.indexOf(names[index] ?? '') !== index)
  if (twice === undefined) return
  throw new CniError('ERR_CONFLICT', `Cannot record ${describeKey(recordKey(twice))}: it is asked for twice at once`)
}

export class FileStore implements Store {
  readonly #dataDir: string
  readonly #files: LeaseFiles
  readonly #orders: string
  readonly #journal: Journal
  #lastBoot: string | undefined
  #lockKind: 'kernel' | 'shared' | undefined

  /** `dataDir` holds `leases/`, `journal`, `order/`, `lock`, `calls/`, `boot`, `sweep` and `damaged/`; nothing is made before the first claim. */
  constructor(dataDir: string) {
    this.#dataDir = dataDir
    this.#files = new LeaseFiles(`${dataDir}/leases`, `${dataDir}/order`, `${dataDir}/damaged`, (key, nowMs) => {
      if (!this.shared) this.#journal.release(key, nowMs)
    })
    this.#orders = `${dataDir}/order`
    this.#journal = new Journal(dataDir)
  }

  get shared(): boolean {
    return this.#kind() === 'shared'
  }

  /** Of the data directory, which is there by now. */
  #kind(): 'kernel' | 'shared' {
    this.#lockKind ??= lockKindOf(this.#dataDir)
    return this.#lockKind
  }

  exists(): boolean {
    return statSync(this.#files.path, { throwIfNoEntry: false }) !== undefined
  }

  locked<T>(work: () => T): T {
    try {
      makeDirectory(this.#files.path)
      return withLock(`${this.#dataDir}/lock`, work, { kind: this.#kind() })
    } catch (error) {
      throw toIoError(`use the lease directory "${this.#files.path}"`, error)
    }
  }

  hold(key: AttachmentKey): Disposable {
    const calls = `${this.#dataDir}/calls`
    try {
      makeDirectory(calls)
      return holdLock(`${calls}/${attachmentName(key)}`, { kind: this.#kind() })
    } catch (error) {
      throw toIoError(`use the directory "${calls}"`, error)
    }
  }

  /** A file of this node. On its own disk that is all there are; the node may have had another name before. */
  #ownFile(name: string, host: string): string {
    return `${this.#dataDir}/${name}${this.shared ? `,${host}` : ''}`
  }

  lastBoot(host: string): string | undefined {
    // Once read it stays true for as long as this process lives.
    this.#lastBoot ??= readIfExists(this.#ownFile('boot', host), bootIdMaxBytes)?.trim()
    return this.#lastBoot
  }

  setLastBoot(host: string, bootId: string): void {
    replaceUnsynced(this.#ownFile('boot', host), `${bootId}\n`)
    this.#lastBoot = bootId
  }

  find(key: AttachmentKey): AttachmentRecord | undefined {
    return this.#files.find(key)
  }

  isHeld(space: string, ip: Ip): boolean {
    return this.#files.has(addressName(space, ip))
  }

  holder(space: string, ip: Ip): AttachmentRecord | undefined {
    return this.#files.holder(space, ip)
  }

  list(): Listing {
    return this.#files.list()
  }

  order(space: string, span: Span): Order {
    makeDirectory(this.#orders)
    return new FileOrder(`${this.#orders}/${orderName(space, span)}`, span, (nowMs, blocked) => {
      for (const { record, sinceMs } of this.#files.allKept()) {
        if (isExpired({ record, sinceMs }, nowMs)) this.dropKept(record, nowMs)
      }
      return this.#files.free(space, span, blocked, refillMax)
    })
  }

  firstLooks(host: string): Map<string, number> {
    const text = readIfExists(this.#ownFile('sweep', host), looksMaxBytes) ?? ''
    return new Map(
      text.split('\n').flatMap((line): [string, number][] => {
        const [ms = '', ...name] = line.split(' ')
        return /^[0-9]+$/.test(ms) ? [[name.join(' '), Number(ms)]] : []
      }),
    )
  }

  setFirstLooks(host: string, looks: ReadonlyMap<string, number>): void {
    replaceUnsynced(this.#ownFile('sweep', host), [...looks].map(([name, ms]) => `${ms} ${name}\n`).join(''))
  }

  /** Whoever makes one holds the lock, so one that is seen under the lock is nobody's. */
  removeLeftOvers(): string[] {
    return this.#files.names().filter((name) => isLeftOverName(name) && removeName(this.#files.at(name)))
  }

  inspect(): Finding[] {
    return inspectLeases(this.#files)
  }

  put(records: readonly AttachmentRecord[]): (Ip | undefined)[] {
    refuseTwice(records)
    const lines = records.map(renderRecord)
    const named: string[] = []
    try {
      this.#makeDurable(lines.join(''))
      const taken = records.map((record, index) => {
        const name = temporaryPrefix + attachmentName(recordKey(record))
        named.push(name)
        this.#write(name, lines[index] ?? '')
        return this.#files.name(name, record)
      })
      records.forEach((record, index) => {
        if (taken[index] === undefined) this.#files.forgetKept(record)
      })
      if (this.shared) syncDirectory(this.#files.path)
      return taken
    } catch (error) {
      named.forEach((name, index) => {
        const record = records[index]
        if (record !== undefined) this.#files.unname(name, record)
      })
      throw error
    } finally {
      // By now it is one name too many of a record, or a record without a name: DEL, or the next ADD, removes it too.
      for (const name of named) discardName(this.#files.at(name))
    }
  }

  /** On a share the server keeps what it confirms; here the journal does. */
  #makeDurable(lines: string): void {
    if (!this.shared && lines !== '') this.#journal.append(lines)
  }

  #write(name: string, line: string): void {
    if (this.shared) writeDurable(this.#files.at(name), line)
    else writeUnsynced(this.#files.at(name), line)
  }

  complete(record: AttachmentRecord): boolean {
    const whole = this.#files.missing(record).length === 0
    // The journal of the put that was cut short may have started anew since.
    if (!whole) this.#makeDurable(renderRecord(record))
    const completed = this.#files.complete(record)
    if (this.shared) syncDirectory(this.#files.path)
    return completed
  }

  remove(key: AttachmentKey, nowMs: number): boolean {
    return this.#remove(key, nowMs, true)
  }

  forget(key: AttachmentKey, nowMs: number): boolean {
    return this.#remove(key, nowMs, false)
  }

  #remove(key: AttachmentKey, nowMs: number, keep: boolean): boolean {
    const record = this.#files.record(key)
    if (record !== undefined && !(keep && record !== 'damaged' && this.#files.keep(record, nowMs))) {
      this.#files.release(attachmentName(key), record, key, nowMs)
      if (!this.shared) this.#journal.release(key, nowMs)
    }
    const leftOver = removeName(this.#files.at(temporaryPrefix + attachmentName(key)))
    if ((record !== undefined || leftOver) && this.shared) syncDirectory(this.#files.path)
    return record !== undefined
  }

  findKept(wanted: AttachmentRecord): Kept | undefined {
    const name = keptNameOf(wanted)
    return name === undefined ? undefined : this.#files.kept(name)
  }

  dropKept(record: AttachmentRecord, nowMs: number): void {
    this.#files.dropKept(record, nowMs)
  }

  dropExpired(space: string, ip: Ip, nowMs: number): void {
    const holder = this.isHeld(space, ip) ? this.holder(space, ip) : undefined
    const kept =
      holder === undefined || this.#files.has(attachmentName(recordKey(holder))) ? undefined : this.findKept(holder)
    if (kept !== undefined && isExpired(kept, nowMs)) this.dropKept(kept.record, nowMs)
  }

  /** A record whose file the disk lost or tore is made again from the journal, unless a later one has its addresses. */
  recover(): void {
    if (this.shared) return
    const { standing, released } = this.#journal.read()
    // What the disk has again although it was released: it must not be in the way of who claimed it afterwards.
    for (const { name, atMs } of released) {
      const found = this.#files.read(name)
      if (found !== undefined && found !== 'damaged' && Date.parse(found.claimedAt) <= atMs) this.#files.removeAll(name)
    }
    for (const record of standing) {
      const name = attachmentName(recordKey(record))
      const found = this.#files.record(recordKey(record))
      if (found !== undefined && found !== 'damaged' && found.claimedAt === record.claimedAt) {
        if (this.#files.missing(record).length > 0) this.#files.complete(record)
        continue
      }
      // Torn, or an earlier life of the same key: none of its names is worth keeping.
      if (found !== undefined) this.#files.removeAll(name)
      const temporary = temporaryPrefix + name
      if (this.#files.isKept(record)) continue
      this.#write(temporary, renderRecord(record))
      try {
        if (!this.#files.mendKept(temporary, record) && this.#files.name(temporary, record) === undefined) {
          this.#files.forgetKept(record)
        }
      } finally {
        discardName(this.#files.at(temporary))
      }
    }
    this.#journal.startAnew()
  }

  /** Throws unless a claim could be written now. */
  checkWritable(): void {
    try {
      makeDirectory(this.#files.path)
      accessSync(this.#files.path, constants.W_OK | constants.X_OK)
    } catch (error) {
      throw toIoError(`write to the lease directory "${this.#files.path}"`, error)
    }
  }
}
