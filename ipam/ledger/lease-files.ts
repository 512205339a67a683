/**
 * Giving files their names in the directory of leases, and taking them away again, in the order that a kill cannot spoil.
 *
 * Every change begins by asking whether the lock is still ours, but for those that take back what this call has made: its own
 * names are nobody else's, whoever has the lock by now.
 */
import { statSync } from 'node:fs'
import type { Ip } from '../../shared/address.ts'
import { describeKey, sameKey } from '../../shared/attachment.ts'
import { CniError } from '../../shared/cni/errors.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import { isErrno, linkExclusive, makeDirectory, removeName, renameAt, replaceName, setTime } from '../../shared/disk.ts'
import { log } from '../../shared/log.ts'
import { messageOf } from '../../shared/message.ts'
import { checkHeld } from '../lock/held.ts'
import { LeaseDirectory, leasesPath } from './directory.ts'
import { attachmentName, isKeptFor, keptNameOf, leaseNames, parseAddressName } from './names.ts'
import { noteFreed } from './order.ts'
import { type AttachmentRecord, leaseIp, recordKey } from './record.ts'

interface LeaseHooks {
  /** Something is not kept any more. */
  readonly onReleased: (key: AttachmentKey, nowMs: number) => void
  /** Takes away the name of a record that is none any more. */
  readonly dispose: (path: string) => void
}

export class LeaseFiles extends LeaseDirectory {
  readonly #orders: string
  readonly #aside: string
  readonly #hooks: LeaseHooks

  constructor(dataDir: string, hooks: LeaseHooks) {
    super(leasesPath(dataDir))
    this.#hooks = hooks
    // Told what becomes free.
    this.#orders = `${dataDir}/order`
    // Where damaged files go.
    this.#aside = `${dataDir}/damaged`
  }

  /**
   * Gives the file its record's names, or none of them when an address is somebody else's: that is returned. What was kept for
   * the pod can be had back until forgetKept().
   */
  name(file: string, record: AttachmentRecord): Ip | undefined {
    checkHeld()
    const key = recordKey(record)
    const name = attachmentName(key)
    // Over a network a link that was made may be answered as if it was there before.
    if (!linkExclusive(this.at(file), this.at(name)) && this.inode(name) !== this.inode(file)) {
      throw new CniError('ERR_CONFLICT', `Cannot record ${describeKey(key)}: it is recorded already`)
    }
    const lost = leaseNames(record).findIndex((one) => !this.#nameAddress(file, record, one))
    const lease = record.leases[lost]
    if (lease !== undefined) this.unname(file, record)
    return lease && leaseIp(lease)
  }

  /**
   * Takes back what the file has been named. Nobody was answered, so nothing was freed either: what was kept for the pod is
   * kept again.
   */
  unname(file: string, record: AttachmentRecord): void {
    const ino = this.inode(file)
    const kept = keptNameOf(record)
    const before = kept === undefined ? undefined : this.kept(kept)
    const keptNames = before === undefined ? [] : leaseNames(before.record)
    for (const name of [...leaseNames(record), attachmentName(recordKey(record))]) {
      if (ino === undefined || this.inode(name) !== ino) continue
      if (kept !== undefined && keptNames.includes(name)) replaceName(this.at(kept), this.at(name))
      else removeName(this.at(name))
    }
  }

  /** Removes a file under all of its names. */
  removeAll(name: string): void {
    for (const one of this.namesOfDamaged(name)) removeName(this.at(one))
    removeName(this.at(name))
  }

  /** Removes the names of a file that its record does not give it: it was another record's before. */
  removeStrays(name: string, record: AttachmentRecord): void {
    const own = [attachmentName(recordKey(record)), ...leaseNames(record)]
    for (const one of [name, ...this.namesOfDamaged(name)]) if (!own.includes(one)) removeName(this.at(one))
  }

  /** The names of addresses that the record's file should have and has not. */
  missing(record: AttachmentRecord): string[] {
    const ino = this.inode(attachmentName(recordKey(record)))
    return leaseNames(record).filter((name) => this.inode(name) !== ino)
  }

  complete(record: AttachmentRecord): boolean {
    checkHeld()
    const own = attachmentName(recordKey(record))
    const whole = this.missing(record).every((name) => this.#nameAddress(own, record, name))
    if (whole) this.forgetKept(record)
    return whole
  }

  /** Keeps a released record for its pod; false when that is not what it says, or the disk has no room for another name. */
  keep(record: AttachmentRecord, nowMs: number): boolean {
    checkHeld()
    const kept = keptNameOf(record)
    if (kept === undefined || record.leases.length === 0) return false
    if (this.#isOfAnother(kept, record)) return false
    try {
      // A take-over that a kill cut short: what is kept without its addresses would be no use to the pod.
      if (this.has(kept)) this.complete(record)
      this.dropKept(record, nowMs)
      renameAt(this.at(attachmentName(recordKey(record))), this.at(kept), nowMs)
      return true
    } catch (error) {
      if (!isErrno(error, 'ENOSPC', 'EDQUOT')) throw error
      log('warn', `"${kept}" is not kept: ${messageOf(error)}`)
      return false
    }
  }

  /** Releases what is kept for the pod of this record. */
  dropKept(record: AttachmentRecord, nowMs: number): void {
    const name = keptNameOf(record)
    if (name === undefined || !this.has(name) || this.#isOfAnother(name, record)) return
    const kept = this.kept(name)?.record
    const key = recordKey(kept ?? record)
    this.release(name, kept ?? 'damaged', key, nowMs)
    // Claimed again by the same attachment it is recorded, whatever was before.
    if (!this.has(attachmentName(key))) this.#hooks.onReleased(key, nowMs)
  }

  /** What is kept for the pod of this record is kept from now on. */
  restartKept(record: AttachmentRecord, nowMs: number): void {
    checkHeld()
    const name = keptNameOf(record)
    if (name !== undefined && this.has(name)) setTime(this.at(name), nowMs)
  }

  /** Whether what is kept under the name of this record's pod is another pod's: long names may be cut to the same one. */
  #isOfAnother(name: string, record: AttachmentRecord): boolean {
    const kept = this.kept(name)
    return kept !== undefined && !isKeptFor(kept.record, record)
  }

  /** Whether this very record is kept, and can be read. */
  isKept(record: AttachmentRecord): boolean {
    const name = keptNameOf(record)
    const kept = name === undefined ? undefined : this.kept(name)
    return kept !== undefined && sameKey(recordKey(kept.record), recordKey(record))
  }

  /** Gives a kept record whose file was torn a whole one, under all of its names; false when it was not this one. */
  mendKept(file: string, record: AttachmentRecord): boolean {
    const name = keptNameOf(record)
    if (name === undefined || this.read(name) !== 'damaged') return false
    const ino = this.inode(name)
    const names = leaseNames(record).filter((one) => this.inode(one) === ino)
    if (names.length === 0) return false
    const torn = statSync(this.at(name), { throwIfNoEntry: false })
    // Since when it is kept is no part of what was torn.
    if (torn !== undefined) setTime(this.at(file), torn.mtimeMs)
    for (const one of [...names, name]) replaceName(this.at(file), this.at(one))
    return true
  }

  /** Takes the addresses from the file of this name, and then the name. Only names of the same file go: another's are not ours. */
  release(name: string, record: AttachmentRecord | 'damaged', key: AttachmentKey, nowMs: number): void {
    checkHeld()
    if (record === 'damaged') this.#setAside(name)
    const ino = this.inode(name)
    const names = record === 'damaged' ? this.namesOfDamaged(name) : leaseNames(record)
    // The last first: of what an attachment freed, its next claim is given the last first.
    const own = names.reverse().filter((one) => this.inode(one) === ino)
    this.releaseNames(own, key, nowMs)
    this.#hooks.dispose(this.at(name))
  }

  /** Takes these names of addresses away, after it is noted that they are free. */
  releaseNames(names: readonly string[], key: AttachmentKey, nowMs: number): void {
    const freed = names.map(parseAddressName).filter((address) => address !== undefined)
    if (freed.length > 0) noteFreed(this.#orders, freed, key, nowMs)
    for (const one of names) removeName(this.at(one))
  }

  /** Gives the file an address's name; one that is kept for the record's own pod is taken over at one instant. */
  #nameAddress(file: string, record: AttachmentRecord, name: string): boolean {
    const [path, own] = [this.at(name), this.at(file)]
    if (linkExclusive(own, path)) return true
    const holder = this.inode(name)
    if (holder === this.inode(file)) return true
    const kept = keptNameOf(record)
    if (kept === undefined || holder === undefined || holder !== this.inode(kept)) return false
    // What cannot be read is nobody's to take.
    const before = this.kept(kept)
    if (before === undefined || !isKeptFor(before.record, record)) return false
    replaceName(own, path)
    return true
  }

  /** The addresses kept for this record's pod are its own now, or were given up. */
  forgetKept(record: AttachmentRecord): void {
    const kept = keptNameOf(record)
    if (kept !== undefined && this.has(kept)) this.dropKept(record, Date.now())
  }

  /** A damaged record's file stays where a person can look at it, if there is room: a release needs none. */
  #setAside(name: string): void {
    try {
      makeDirectory(this.#aside)
      removeName(`${this.#aside}/${name}`)
      linkExclusive(this.at(name), `${this.#aside}/${name}`)
    } catch (error) {
      log('warn', `"${name}" is not set aside: ${messageOf(error)}`)
    }
  }
}
