/**
 * Where leases live. One suite runs on every implementation (test/contract/store.ts).
 *
 * Calls are short and synchronous. Callers hold the lock for a whole claim or release, and still the lock is not
 * trusted: `put` claims every address by an exclusive create that holds if two processes believe they have it.
 */
import type { Ip } from '../shared/address.ts'
import type { AttachmentKey } from '../shared/cni/request.ts'
import type { AttachmentRecord } from './record.ts'

export interface Store {
  /** False when nothing was ever claimed here; then there is nothing to find or to release either. */
  exists(): boolean

  /** Throws ERR_IO unless a claim could be written now. */
  checkWritable(): void

  /** Runs `work` while no other process runs its own. Throws ERR_TRY_AGAIN when the lock cannot be had in time. */
  locked<T>(work: () => T): T

  /** Keeps other calls of the same attachment waiting until it is disposed of. Throws ERR_TRY_AGAIN. */
  hold(key: AttachmentKey): Disposable

  /** The attachment's record. Throws ERR_DAMAGED, naming the file, when there is one that cannot be read. */
  find(key: AttachmentKey): AttachmentRecord | undefined

  /** Whether somebody holds the address. */
  isHeld(space: string, ip: Ip): boolean

  /** The record of the attachment that holds the address, where it can be read. */
  holder(space: string, ip: Ip): AttachmentRecord | undefined

  /**
   * Makes a new record durable together with all its addresses, or nothing of it: then the address that somebody else
   * has is returned.
   */
  put(record: AttachmentRecord): Ip | undefined

  /**
   * Completes a record whose `put` was cut short by a kill: claims the addresses it names and does not have. False
   * when one of them has gone to somebody else meanwhile; then the record was never an answer to anybody.
   */
  complete(record: AttachmentRecord): boolean

  /** Releases the attachment's addresses and forgets it, damaged or not; false when there is nothing to forget. */
  remove(key: AttachmentKey): boolean

  /** All readable records, and the names of the entries that are not. */
  list(): { records: AttachmentRecord[]; damaged: string[] }
}
