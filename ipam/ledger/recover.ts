/** After a boot: what a power cut took away is made again from the journal (ipam/FORMAT.md). */
import { discardName } from '../../shared/disk.ts'
import type { Durable } from './durable.ts'
import type { Journal } from './journal.ts'
import type { LeaseFiles } from './lease-files.ts'
import { attachmentName, isAttachmentName, isLeftOverName, parseTemporaryName, temporaryName } from './names.ts'
import { type AttachmentRecord, recordKey, renderRecord } from './record.ts'
import { dropLeftOver, settle } from './replace.ts'

/** What stands in the way of what the journal says goes first: an address may have passed from any of it to any other. */
function clear(files: LeaseFiles, journal: Journal, durable: Durable, nowMs: number): AttachmentRecord[] {
  const { standing, released } = journal.read()
  const known = new Set([...released.map(({ name }) => name), ...standing.map((one) => attachmentName(recordKey(one)))])
  for (const name of files.names().filter(isLeftOverName)) {
    const key = parseTemporaryName(name)
    if (key === undefined) continue
    // Of what it does not know all names were synced before it started.
    if (known.has(attachmentName(key))) dropLeftOver(files, key, nowMs)
    else settle(files, key, durable, nowMs)
  }
  // What the disk has again although it was released: it must not be in the way of who claimed it afterwards.
  for (const { name, atMs } of released) {
    const found = files.read(name)
    if (found === undefined) continue
    // Torn, or in a file that another record has since: that one is made again.
    const isOwn = found !== 'damaged' && attachmentName(recordKey(found)) === name
    if (!isOwn || Date.parse(found.claimedAt) <= atMs) files.removeAll(name)
  }
  for (const name of files.names().filter(isAttachmentName)) {
    const found = files.read(name)
    if (found !== undefined && found !== 'damaged' && attachmentName(recordKey(found)) !== name) {
      files.removeStrays(name, found)
    }
  }
  for (const record of standing) {
    const found = files.record(recordKey(record))
    // Torn, or an earlier record of the same key: none of its names is worth keeping.
    if (found !== undefined && !isSame(found, record)) files.removeAll(attachmentName(recordKey(record)))
  }
  return standing
}

const isSame = (found: AttachmentRecord | 'damaged', record: AttachmentRecord): boolean =>
  found !== 'damaged' && renderRecord(found) === renderRecord(record)

/** A record whose file the disk lost or tore is made again, unless a later one has its addresses. */
export function recoverLeases(files: LeaseFiles, journal: Journal, durable: Durable, nowMs: number): void {
  for (const record of clear(files, journal, durable, nowMs)) {
    if (files.record(recordKey(record)) !== undefined) {
      if (files.missing(record).length > 0) files.complete(record)
      continue
    }
    if (files.isKept(record)) continue
    const temporary = temporaryName(recordKey(record))
    durable.write(temporary, renderRecord(record))
    try {
      if (!files.mendKept(temporary, record) && files.name(temporary, record) === undefined) files.forgetKept(record)
    } finally {
      discardName(files.at(temporary))
    }
  }
  journal.startAnew()
}
