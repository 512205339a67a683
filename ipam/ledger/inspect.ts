/** The consistency check: every name of the lease directory against every record, without changing anything. */
import { formatIp } from '../../shared/address.ts'
import { describeKey, sameKey } from '../../shared/attachment.ts'
import type { LeaseDirectory } from './directory.ts'
import {
  addressName,
  attachmentName,
  isAttachmentName,
  isKeptName,
  isLeftOverName,
  keptNameOf,
  parseAddressName,
  parseAttachmentName,
  parseTemporaryName,
  temporaryName,
} from './names.ts'
import { type AttachmentRecord, holdsAddress, leaseIp, leaseSpace, recordKey } from './record.ts'
import type { Finding } from './store.ts'

type File = AttachmentRecord | 'damaged'

export function inspectLeases(leases: LeaseDirectory): Finding[] {
  const inodes = new Map(leases.eachName().map((name) => [name, leases.inode(name)]))
  const names = [...inodes.keys()].sort()
  const files = new Map<bigint, File>()
  const fileOf = (name: string): File | undefined => {
    const inode = inodes.get(name)
    if (inode === undefined) return undefined
    const file = files.get(inode) ?? leases.read(name)
    if (file !== undefined) files.set(inode, file)
    return file
  }
  return names.flatMap((name): Finding[] => {
    const file = fileOf(name)
    if (file === undefined) return []
    if (isLeftOverName(name)) return [{ name, kind: 'left over', what: whatIsLeft(name, inodes) }]
    if (isAttachmentName(name)) return inspectAttachment(name, file, inodes)
    if (isKeptName(name)) return inspectKept(name, file, inodes)
    return inspectAddress(name, file, inodes)
  })
}

function whatIsLeft(name: string, inodes: ReadonlyMap<string, bigint | undefined>): string {
  const inode = inodes.get(name)
  const key = parseTemporaryName(name)
  const isOnly = key !== undefined && inodes.get(attachmentName(key)) !== inode
  const holds = isOnly && [...inodes].some(([one, other]) => other === inode && parseAddressName(one) !== undefined)
  if (!holds) return 'a killed call left it; it holds nothing'
  return 'a killed call left it; a sweep, or the next call of its attachment, completes it or releases what it holds'
}

const damaged = (name: string): Finding => ({
  name,
  kind: 'damaged',
  what: 'its record cannot be read; what it holds stays held until a DEL of the attachment',
})

function inspectAttachment(name: string, file: File, inodes: ReadonlyMap<string, bigint | undefined>): Finding[] {
  const key = parseAttachmentName(name)
  const isOwn = file !== 'damaged' && key !== undefined && sameKey(recordKey(file), key)
  return isOwn ? missingAddresses(name, file, inodes) : [damaged(name)]
}

function inspectKept(name: string, file: File, inodes: ReadonlyMap<string, bigint | undefined>): Finding[] {
  const isOwn = file !== 'damaged' && keptNameOf(file) === name
  return isOwn ? missingAddresses(name, file, inodes) : [damaged(name)]
}

function missingAddresses(
  name: string,
  record: AttachmentRecord,
  inodes: ReadonlyMap<string, bigint | undefined>,
): Finding[] {
  return record.leases.flatMap((lease): Finding[] => {
    const address = addressName(leaseSpace(lease), leaseIp(lease))
    if (inodes.get(address) === inodes.get(name)) return []
    const isNext = inodes.get(address) === inodes.get(temporaryName(recordKey(record)))
    const other = isNext ? 'the record in its place that a killed call left holds it' : 'somebody else holds it'
    const holder = inodes.get(address) === undefined ? 'nobody holds it' : other
    return [{ name, kind: 'incomplete', what: `its record names "${address}", and ${holder}` }]
  })
}

function inspectAddress(name: string, file: File, inodes: ReadonlyMap<string, bigint | undefined>): Finding[] {
  const address = parseAddressName(name)
  if (address === undefined) return [{ name, kind: 'stranger', what: 'not a name of this store' }]
  if (file === 'damaged' || !holdsAddress(file, address.space, address.ip)) {
    const owned = [...inodes].some(
      ([one, inode]) => inode === inodes.get(name) && (isAttachmentName(one) || isKeptName(one)),
    )
    const hint = owned ? '' : '; no attachment leads to it: remove the file when nobody uses the address'
    return [{ name, kind: 'damaged', what: `no readable record behind it names ${formatIp(address.ip)}${hint}` }]
  }
  const key = recordKey(file)
  const own = [attachmentName(key), keptNameOf(file), temporaryName(key)]
  if (own.some((one) => one !== undefined && inodes.get(one) === inodes.get(name))) return []
  const what = `held by ${describeKey(key)}, whose name "${attachmentName(key)}" is gone: no DEL will release it`
  return [{ name, kind: 'orphan', what }]
}
