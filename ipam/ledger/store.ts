/**
 * Where leases live. One suite runs on every implementation (test/contract/store.ts).
 *
 * Calls are short and synchronous. Callers hold the lock for a whole claim or release, and still the lock is not
 * trusted: `put` claims every address by an exclusive create that holds if two processes believe they have it.
 */
import type { Ip, Span } from '../../shared/address.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import type { AttachmentRecord } from './record.ts'

/** A released attachment whose addresses are kept for a pod of the same name. */
export interface Kept {
  readonly record: AttachmentRecord
  /** When it was released, milliseconds since the epoch. */
  readonly sinceMs: number
}

/** Whether it is kept longer than it was to be. */
export const isExpired = ({ record, sinceMs }: Kept, nowMs: number): boolean => sinceMs + (record.keepMs ?? 0) < nowMs

/** Whether it is kept since a time to come: the clock was set back, and nobody knows when that was. */
export const isAhead = ({ sinceMs }: Kept, nowMs: number): boolean => sinceMs > nowMs

export interface Listing {
  readonly records: readonly AttachmentRecord[]
  readonly kept: readonly Kept[]
  /** Names of entries that cannot be read. */
  readonly damaged: readonly string[]
}

/** Something that is not as it should be. */
export interface Finding {
  readonly name: string
  readonly kind: 'damaged' | 'incomplete' | 'orphan' | 'left over' | 'stranger'
  readonly what: string
}

/** The order in which the free addresses of a span are given. Used while the lock is held. */
export interface Order {
  /**
   * Addresses to try, one after the other; some may be held. Those that `key` freed itself come first, then those that
   * rested, the longest-freed first, then those never given, from the lowest, then those that still rest.
   */
  candidates(wish: OrderWish): Iterable<Ip>
  /** Remembers what was tried. */
  save(): void
}

export interface OrderWish {
  readonly key: AttachmentKey
  /** Not to be tried: sorted, not overlapping. */
  readonly blocked: readonly Span[]
  readonly coolDownMs: number
  readonly nowMs: number
}

/** For a process that serves many calls at once. */
/** A file that should be an attachment's record and cannot be read as one. */
export interface DamagedRecord {
  /** The file's name. */
  readonly damaged: string
  /** The attachment whose it is by that name. */
  readonly key: AttachmentKey | undefined
}

export interface StoreOptions {
  /** How long locked() and hold() wait for others of this host; not given: as long as a runtime has patience. */
  readonly waitMs?: number
  /** How long their caller goes on asking, for who is told that it was in vain. */
  readonly patienceMs?: number
  /** put() returns before its records are on disk, and flush() says when they are. */
  readonly deferred?: boolean
}

export interface Store extends Disposable {
  /** Other hosts may write to it as well: their namespaces are not for us to judge. */
  readonly shared: boolean

  /** False when nothing was ever claimed here; then there is nothing to find or to release either. */
  exists(): boolean

  /** Throws ERR_IO unless a claim could be written now. */
  checkWritable(): void

  /** Runs `work` while no other process runs its own. Throws ERR_TRY_AGAIN when the lock cannot be had in time, or is lost. */
  locked<T>(work: () => T): T

  /**
   * Resolves when all that was put, by this process or another, is on disk. Rejects with ERR_IO. Waits for it in a thread, or `here` where
   * that is quicker.
   */
  flush(where?: 'in a thread' | 'here'): Promise<void>

  /** What locked() throws when its work has thrown `error`. */
  explain(error: unknown): unknown

  /** Keeps other calls of the same attachment waiting until it is disposed of. Throws ERR_TRY_AGAIN. */
  hold(key: AttachmentKey): Disposable

  /** The boot in which this host last claimed here; undefined before its first claim. */
  lastBoot(host: string): string | undefined
  setLastBoot(host: string, bootId: string): void

  /** After a boot, before anything else is asked: what a power cut took away is there again. */
  recover(): void

  /** The attachment's record. Throws ERR_DAMAGED, naming the file, when there is one that cannot be read. */
  find(key: AttachmentKey): AttachmentRecord | undefined

  /** Whether somebody holds the address, or it is kept for somebody. */
  isHeld(space: string, ip: Ip): boolean

  /** The record of the attachment that holds the address, where it can be read. */
  holder(space: string, ip: Ip): AttachmentRecord | undefined

  /** The order of a span. */
  order(space: string, span: Span): Order

  /**
   * Makes new records durable together, each with all its addresses or not at all: then the address that somebody else has
   * stands in its place of the answer. Addresses kept for the record's pod become its own. Throws ERR_CONFLICT, and puts none,
   * when one of the attachments is recorded already or stands there twice.
   */
  put(records: readonly AttachmentRecord[]): (Ip | undefined)[]

  /**
   * Gives an attachment that is recorded another record. An address that both have stays held at every instant; what only the
   * earlier one has is released, and kept for nobody. The address that somebody else has is returned, and nothing is changed.
   * Throws ERR_CONFLICT when the attachment is not recorded. What fails leaves the earlier record or, once addresses have passed
   * over, what the attachment's next call or a sweep completes.
   */
  replace(record: AttachmentRecord, nowMs: number): Ip | undefined

  /**
   * Completes a record whose `put` or `replace` was cut short by a kill: claims the addresses it names and does not have, and
   * answers what is recorded then. Undefined when one of them has gone to somebody else meanwhile; then the record was never an
   * answer to anybody.
   */
  complete(record: AttachmentRecord, nowMs: number): AttachmentRecord | undefined

  /**
   * Releases the attachment's addresses and forgets it, damaged or not; false when there is nothing to forget. A record
   * that says so is kept for its pod instead.
   */
  remove(key: AttachmentKey, nowMs: number): boolean

  /** As remove, and nothing is kept for anybody. */
  forget(key: AttachmentKey, nowMs: number): boolean

  /** Releases the address if it is only kept, and has been for too long; if that is since a time to come, it is from now on. */
  dropExpired(space: string, ip: Ip, nowMs: number): void

  /** What is kept for the pod of a new attachment; undefined when that is nothing. */
  findKept(wanted: AttachmentRecord): Kept | undefined

  /** Releases what is kept for the pod of this record. */
  dropKept(record: AttachmentRecord, nowMs: number): void

  /** What is kept for the pod of this record is kept from now on. */
  restartKept(record: AttachmentRecord, nowMs: number): void

  list(): Listing

  /** All attachments' records, one read at a time, for who may have seen enough before the last one. */
  records(): Iterable<AttachmentRecord | DamagedRecord>

  /** When a sweep first found something gone, by whatever it calls it; milliseconds since the epoch. */
  firstLooks(host: string): Map<string, number>
  setFirstLooks(host: string, looks: ReadonlyMap<string, number>): void

  /** Whether there may be something that killed calls left; without the lock it may be what a call is about to use. */
  hasLeftOvers(): boolean

  /** Completes or removes what killed calls left; returns the names that are gone. */
  removeLeftOvers(nowMs: number): string[]

  /** What is wrong in the store: nothing, unless somebody else wrote to it, or a kill cut a call short. */
  inspect(): Finding[]
}
