/**
 * Giving an attachment another record: from its file to the next one, in the order that a kill cannot spoil (ipam/FORMAT.md).
 *
 * The next file is `.new,<attachment>` until it has everything; the attachment's own name passes over last. So whoever knows the
 * key finds both files, and the names say how far it came: as long as the earlier one is whole nothing was taken from it.
 */
import type { Ip } from '../../shared/address.ts'
import { sameKey } from '../../shared/attachment.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import { linkExclusive, removeName, replaceName } from '../../shared/disk.ts'
import { log } from '../../shared/log.ts'
import { messageOf } from '../../shared/message.ts'
import type { Durable } from './durable.ts'
import type { LeaseFiles } from './lease-files.ts'
import { attachmentName, leaseNames, temporaryName } from './names.ts'
import { type AttachmentRecord, leaseIp, recordKey, renderRecord } from './record.ts'

/** Claims for the next file what the attachment does not have; the address that somebody else has, and then it claims nothing. */
function claimMissing(files: LeaseFiles, file: string, next: AttachmentRecord): Ip | undefined {
  const own = files.inode(attachmentName(recordKey(next)))
  const lost = leaseNames(next).findIndex((name) => {
    if (files.inode(name) === own) return false
    // Over a network a link that was made may be answered as if it was there before.
    return !linkExclusive(files.at(file), files.at(name)) && files.inode(name) !== files.inode(file)
  })
  const lease = next.leases[lost]
  if (lease !== undefined) files.unname(file, next)
  return lease && leaseIp(lease)
}

/** Nothing can be in the way any more: what both have passes over, what only the earlier one has is freed, and its key is the last. */
function handOver(files: LeaseFiles, earlier: AttachmentRecord, next: AttachmentRecord, nowMs: number): void {
  const key = recordKey(next)
  const [own, file] = [attachmentName(key), temporaryName(key)]
  const ino = files.inode(own)
  const names = leaseNames(next)
  for (const name of names) if (files.inode(name) === ino) replaceName(files.at(file), files.at(name))
  const dropped = leaseNames(earlier).filter((name) => !names.includes(name) && files.inode(name) === ino)
  files.releaseNames(dropped.reverse(), key, nowMs)
  replaceName(files.at(file), files.at(own))
  removeName(files.at(file))
}

/**
 * The attachment's next record in place of the earlier one. An address that is taken is returned, and nothing is changed; what
 * fails before anything passed over changes nothing either, and what fails later is for settle().
 */
export function replaceRecord(
  files: LeaseFiles,
  earlier: AttachmentRecord,
  next: AttachmentRecord,
  durable: Durable,
  nowMs: number,
): Ip | undefined {
  const file = temporaryName(recordKey(next))
  const line = renderRecord(next)
  try {
    durable.write(file, line)
    const taken = claimMissing(files, file, next)
    if (taken !== undefined) {
      removeName(files.at(file))
      return taken
    }
    appendOrTakeBack(durable, line, earlier)
  } catch (error) {
    files.unname(file, next)
    removeName(files.at(file))
    throw error
  }
  handOver(files, earlier, next, nowMs)
  durable.syncNames()
  return undefined
}

/** What a failed append has written counts after a power cut, unless the earlier record stands behind it. */
function appendOrTakeBack(durable: Durable, line: string, earlier: AttachmentRecord): void {
  try {
    durable.append(line)
  } catch (error) {
    try {
      durable.append(renderRecord(earlier))
    } catch (another) {
      log('warn', `cannot note what stands: ${messageOf(another)}`)
    }
    throw error
  }
}

/**
 * What a killed call left of an attachment: a next record that had begun to take over goes on, one that had not goes; false when
 * nothing was left. One file is left afterwards, unless the attachment's own is damaged: then both are for its DEL.
 */
export function settle(files: LeaseFiles, key: AttachmentKey, durable: Durable, nowMs: number): boolean {
  const [own, file] = [attachmentName(key), temporaryName(key)]
  const ino = files.inode(file)
  if (ino === undefined) return false
  const current = ino === files.inode(own) ? undefined : files.record(key)
  if (current === 'damaged') return true
  const next = files.read(file)
  if (current !== undefined) {
    const begun = files.missing(current).length > 0
    const isNext = next !== undefined && next !== 'damaged' && sameKey(recordKey(next), key)
    if (begun && isNext && claimMissing(files, file, next) === undefined) {
      // The journal that it was written to may have started anew since.
      durable.append(renderRecord(next))
      handOver(files, current, next, nowMs)
      return true
    }
    // The journal may have the next one as the last.
    durable.append(renderRecord(current))
  }
  dropLeftOver(files, key, nowMs)
  return true
}

/** Releases what only the left file has, and removes it. Needs no room on the disk. */
export function dropLeftOver(files: LeaseFiles, key: AttachmentKey, nowMs: number): void {
  const file = temporaryName(key)
  const ino = files.inode(file)
  if (ino === undefined) return
  const record = files.read(file)
  if (ino === files.inode(attachmentName(key))) removeName(files.at(file))
  else if (record === undefined || record === 'damaged') files.removeAll(file)
  else files.release(file, record, key, nowMs)
}
