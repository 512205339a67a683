/**
 * The store in a directory: one file an attachment, with one more name for each address it holds (ipam/FORMAT.md).
 *
 * Invariants, at every instant and after every crash:
 * - an address is held if and only if its name exists; a name is only ever made by link(2), which one caller wins;
 * - a record is in the journal and its file is whole before its first name is made, and synced then or by flush(); on a share the file is;
 * - an attachment's name is made before its addresses' and removed after them, so whoever knows the key finds them all.
 */
import { accessSync, constants, statSync } from 'node:fs'
import type { Ip, Span } from '../../shared/address.ts'
import { describeKey } from '../../shared/attachment.ts'
import { CniError } from '../../shared/cni/errors.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import { inDirectory, isErrno, makeDirectory, removeName } from '../../shared/disk.ts'
import { log } from '../../shared/log.ts'
import { messageOf } from '../../shared/message.ts'
import { holdLock, type LockOptions, lockKindOf, withLock } from '../lock/index.ts'
import { toIoError } from './directory.ts'
import { type Durable, durableIn } from './durable.ts'
import { inspectLeases } from './inspect.ts'
import { Journal } from './journal.ts'
import { LeaseFiles } from './lease-files.ts'
import {
  addressName,
  attachmentName,
  isKeptFor,
  isLeftOverName,
  keptNameOf,
  orderName,
  parseTemporaryName,
  temporaryName,
} from './names.ts'
import { NodeNotes } from './node-notes.ts'
import { FileOrder } from './order.ts'
import { putRecords } from './put.ts'
import { type AttachmentRecord, recordKey, renderRecord } from './record.ts'
import { recoverLeases } from './recover.ts'
import { dropLeftOver, replaceRecord, settle } from './replace.ts'
import { Spares } from './spares.ts'
import {
  type DamagedRecord,
  type Finding,
  isAhead,
  isExpired,
  type Kept,
  type Listing,
  type Order,
  type Store,
  type StoreOptions,
} from './store.ts'

/** Free addresses that one look at all names brings into an order. */
const refillMax = 4096

export class FileStore implements Store {
  readonly #dataDir: string
  readonly #options: StoreOptions
  readonly #files: LeaseFiles
  readonly #spares: Spares
  readonly #orders: string
  readonly #journal: Journal
  readonly #durable: Durable
  readonly #notes: NodeNotes
  #lockKind: 'kernel' | 'shared' | undefined

  /** `dataDir` holds `leases/`, `journal`, `order/`, `lock`, `calls/`, `boot`, `sweep`, `damaged/` and `spare,…`; nothing is made before the first claim. */
  constructor(dataDir: string, options: StoreOptions = {}) {
    this.#dataDir = dataDir
    this.#options = options
    this.#files = new LeaseFiles(dataDir, {
      onReleased: (key, nowMs) => {
        if (!this.shared) this.#journal.release(key, nowMs)
      },
      dispose: (path) => {
        if (this.shared) removeName(path)
        else this.#spares.keep(path)
      },
    })
    this.#spares = new Spares(dataDir)
    this.#orders = `${dataDir}/order`
    this.#journal = new Journal(dataDir, options.deferred)
    this.#durable = durableIn(this.#files, this.#journal, this.#spares, this, options.deferred)
    this.#notes = new NodeNotes(dataDir, () => this.shared)
  }

  get shared(): boolean {
    return this.#kind() === 'shared'
  }

  /** Of the data directory, which is there by now. */
  #kind(): 'kernel' | 'shared' {
    this.#lockKind ??= lockKindOf(this.#dataDir)
    return this.#lockKind
  }

  exists = (): boolean => statSync(this.#files.path, { throwIfNoEntry: false }) !== undefined

  locked<T>(work: () => T): T {
    try {
      makeDirectory(this.#files.path)
      return withLock(`${this.#dataDir}/lock`, work, this.#lockOptions())
    } catch (error) {
      throw this.explain(error)
    }
  }

  async flush(where: 'in a thread' | 'here' = 'in a thread'): Promise<void> {
    if (this.shared) return
    try {
      if (this.#options.deferred !== true) this.#journal.sync()
      else if (where === 'in a thread' || !this.#journal.tryQuickSync()) await this.#journal.flush()
    } catch (error) {
      throw this.explain(error)
    }
  }

  explain(error: unknown): unknown {
    return toIoError(`use the lease directory "${this.#files.path}"`, error)
  }

  /** Another host is told to be dead by its silence alone: that takes as long as it takes. */
  #lockOptions(): LockOptions {
    const kind = this.#kind()
    return kind === 'shared' ? { kind } : { kind, ...this.#options }
  }

  hold(key: AttachmentKey): Disposable {
    const calls = `${this.#dataDir}/calls`
    try {
      return inDirectory(calls, () => holdLock(`${calls}/${attachmentName(key)}`, this.#lockOptions()))
    } catch (error) {
      throw toIoError(`use the directory "${calls}"`, error)
    }
  }

  lastBoot(host: string): string | undefined {
    return this.#notes.lastBoot(host)
  }

  setLastBoot(host: string, bootId: string): void {
    this.#notes.setLastBoot(host, bootId)
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

  list = (): Listing => this.#files.list()

  records = (): Iterable<AttachmentRecord | DamagedRecord> => this.#files.records()

  order(space: string, span: Span): Order {
    makeDirectory(this.#orders)
    return new FileOrder(`${this.#orders}/${orderName(space, span)}`, span, (nowMs, blocked) => {
      for (const kept of this.#files.allKept()) this.#expire(kept, nowMs)
      return this.#files.free(space, span, blocked, refillMax)
    })
  }

  firstLooks = (host: string): Map<string, number> => this.#notes.firstLooks(host)

  setFirstLooks(host: string, looks: ReadonlyMap<string, number>): void {
    this.#notes.setFirstLooks(host, looks)
  }

  hasLeftOvers = (): boolean => this.#files.names().some(isLeftOverName)

  /** Whoever makes one holds the lock, so one that is seen under the lock is nobody's. */
  removeLeftOvers(nowMs: number): string[] {
    return this.#files.names().filter((name) => {
      if (!isLeftOverName(name)) return false
      const key = parseTemporaryName(name)
      if (key === undefined) return removeName(this.#files.at(name))
      settle(this.#files, key, this.#durable, nowMs)
      return !this.#files.has(name)
    })
  }

  inspect(): Finding[] {
    return inspectLeases(this.#files)
  }

  put(records: readonly AttachmentRecord[]): (Ip | undefined)[] {
    return putRecords(this.#files, records, this.#durable)
  }

  replace(record: AttachmentRecord, nowMs: number): Ip | undefined {
    const key = recordKey(record)
    settle(this.#files, key, this.#durable, nowMs)
    const earlier = this.#files.find(key)
    if (earlier === undefined) {
      throw new CniError('ERR_CONFLICT', `Cannot replace the record of ${describeKey(key)}: nothing is recorded`)
    }
    return replaceRecord(this.#files, earlier, record, this.#durable, nowMs)
  }

  complete(record: AttachmentRecord, nowMs: number): AttachmentRecord | undefined {
    const key = recordKey(record)
    const standing = settle(this.#files, key, this.#durable, nowMs) ? this.#files.find(key) : record
    if (standing === undefined) return undefined
    const whole = this.#files.missing(standing).length === 0
    // The journal of the put that was cut short may have started anew since.
    if (!whole) this.#durable.append(renderRecord(standing))
    const completed = this.#files.complete(standing)
    this.#durable.syncNames()
    return completed ? standing : undefined
  }

  remove(key: AttachmentKey, nowMs: number): boolean {
    return this.#remove(key, nowMs, true)
  }

  forget(key: AttachmentKey, nowMs: number): boolean {
    return this.#remove(key, nowMs, false)
  }

  #remove(key: AttachmentKey, nowMs: number, keep: boolean): boolean {
    // Nearly always nothing is left: one look is all that this costs.
    const isLeft = this.#files.inode(temporaryName(key)) !== undefined
    const mayKeep = keep && (!isLeft || this.#settled(key, nowMs))
    const record = this.#files.record(key)
    if (isLeft) dropLeftOver(this.#files, key, nowMs)
    const isKept = mayKeep && record !== undefined && record !== 'damaged' && this.#files.keep(record, nowMs)
    if (record !== undefined && !isKept) {
      this.#files.release(attachmentName(key), record, key, nowMs)
      // Nothing else would release it again if it came back after a power cut.
      const isForGood = record === 'damaged' || record.imported !== undefined
      if (!this.shared) this.#journal.release(key, nowMs, isForGood)
    }
    if (record !== undefined || isLeft) this.#durable.syncNames()
    return record !== undefined
  }

  /** Whether what a killed call left is settled; a release goes on without when the disk has no room. */
  #settled(key: AttachmentKey, nowMs: number): boolean {
    try {
      settle(this.#files, key, this.#durable, nowMs)
      return true
    } catch (error) {
      if (!isErrno(error, 'ENOSPC', 'EDQUOT')) throw error
      log('warn', `nothing is kept of ${describeKey(key)}: ${messageOf(error)}`)
      return false
    }
  }

  findKept(wanted: AttachmentRecord): Kept | undefined {
    const name = keptNameOf(wanted)
    const kept = name === undefined ? undefined : this.#files.kept(name)
    return kept !== undefined && isKeptFor(kept.record, wanted) ? kept : undefined
  }

  dropKept(record: AttachmentRecord, nowMs: number): void {
    this.#files.dropKept(record, nowMs)
  }

  dropExpired(space: string, ip: Ip, nowMs: number): void {
    const holder = this.isHeld(space, ip) ? this.holder(space, ip) : undefined
    const kept =
      holder === undefined || this.#files.has(attachmentName(recordKey(holder))) ? undefined : this.findKept(holder)
    if (kept !== undefined) this.#expire(kept, nowMs)
  }

  #expire(kept: Kept, nowMs: number): void {
    if (isExpired(kept, nowMs)) this.dropKept(kept.record, nowMs)
    else if (isAhead(kept, nowMs)) this.restartKept(kept.record, nowMs)
  }

  restartKept(record: AttachmentRecord, nowMs: number): void {
    this.#files.restartKept(record, nowMs)
  }

  recover(): void {
    // On a share the server keeps what it confirmed.
    if (this.shared) return
    this.#spares.clear()
    recoverLeases(this.#files, this.#journal, this.#durable, Date.now())
  }

  [Symbol.dispose](): void {
    this.#journal.close()
  }

  checkWritable(): void {
    try {
      makeDirectory(this.#files.path)
      accessSync(this.#files.path, constants.W_OK | constants.X_OK)
    } catch (error) {
      throw toIoError(`write to the lease directory "${this.#files.path}"`, error)
    }
  }
}
