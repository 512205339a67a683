/** Making new records durable, several at once with one sync (ipam/FORMAT.md). */
import type { Ip } from '../../shared/address.ts'
import { describeKey } from '../../shared/attachment.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { discardName } from '../../shared/disk.ts'
import type { Durable } from './durable.ts'
import type { LeaseFiles } from './lease-files.ts'
import { attachmentName, temporaryName } from './names.ts'
import { type AttachmentRecord, recordKey, renderRecord } from './record.ts'

function refuseTwice(records: readonly AttachmentRecord[]): void {
  const names = records.map((record) => attachmentName(recordKey(record)))
  const twice = records.find((_, index) => names.indexOf(names[index] ?? '') !== index)
  if (twice === undefined) return
  throw new CniError('ERR_CONFLICT', `Cannot record ${describeKey(recordKey(twice))}: it is asked for twice at once`)
}

/** Each record with all its addresses or not at all; in the place of one is the address that somebody else has. */
export function putRecords(
  files: LeaseFiles,
  records: readonly AttachmentRecord[],
  durable: Durable,
): (Ip | undefined)[] {
  refuseTwice(records)
  const lines = records.map(renderRecord)
  const named: string[] = []
  try {
    durable.append(lines.join(''))
    const taken = records.map((record, index) => {
      const name = temporaryName(recordKey(record))
      named.push(name)
      durable.write(name, lines[index] ?? '')
      return files.name(name, record)
    })
    records.forEach((record, index) => {
      if (taken[index] === undefined) files.forgetKept(record)
    })
    durable.syncNames()
    return taken
  } catch (error) {
    named.forEach((name, index) => {
      const record = records[index]
      if (record !== undefined) files.unname(name, record)
    })
    throw error
  } finally {
    // By now it is one name too many of a record, or a record without a name: DEL, or the next ADD, removes it too.
    for (const name of named) discardName(files.at(name))
  }
}
