/** The file names of the store (ipam/FORMAT.md). Pure. */
import { formatIp, type Ip, parseIp, type Span } from '../../shared/address.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import { crc32 } from '../../shared/crc32.ts'
import { defaultSpace } from '../plan.ts'
import { type AttachmentRecord, leaseIp, leaseSpace, recordKey } from './record.ts'

/** No file system that matters takes a longer name. */
const nameMaxBytes = 255

const temporaryPrefix = '.new,'
const keptPrefix = '~'

export const attachmentName = ({ network, containerId, ifName }: AttachmentKey): string =>
  `${network},${containerId},${ifName}`

/** What an attachment's record is called while it is being written, or takes the place of an earlier one. */
export const temporaryName = (key: AttachmentKey): string => temporaryPrefix + attachmentName(key)

/** Whose record a temporary name is for; undefined when it is none of those. */
export const parseTemporaryName = (name: string): AttachmentKey | undefined =>
  name.startsWith(temporaryPrefix) ? parseAttachmentName(name.slice(temporaryPrefix.length)) : undefined

/** Names that a killed call left: a record that was being written, an address's name on its way. */
export const isLeftOverName = (name: string): boolean => name.startsWith(temporaryPrefix) || name === '.passing'

/** A comma stands in no address's name, and a key's parts have none. */
export const isAttachmentName = (name: string): boolean => /^[^.~]/.test(name) && name.includes(',')

export function parseAttachmentName(name: string): AttachmentKey | undefined {
  const [network, containerId, ...rest] = name.split(',')
  if (network === undefined || containerId === undefined || rest.length === 0) return undefined
  // Only an interface's name may have commas itself.
  return { network, containerId, ifName: rest.join(',') }
}

const inSpace = (text: string, space: string): string => (space === defaultSpace ? text : `${text}@${space}`)

export const addressName = (space: string, ip: Ip): string => inSpace(formatIp(ip), space)

export function parseAddressName(name: string): { readonly space: string; readonly ip: Ip } | undefined {
  const at = name.indexOf('@')
  const ip = parseIp(at < 0 ? name : name.slice(0, at))
  return ip === undefined ? undefined : { space: at < 0 ? defaultSpace : name.slice(at + 1), ip }
}

interface PodName {
  readonly namespace: string
  readonly name: string
}

/** What a released attachment's file is called while its addresses are kept for the pod's next one. */
export function keptName({ network, ifName }: AttachmentKey, pod: PodName): string {
  const whole = `${keptPrefix}${network},${escaped(pod.namespace)},${escaped(pod.name)},${ifName}`
  const bytes = Buffer.from(whole)
  if (bytes.length <= nameMaxBytes) return whole
  // A pod's name may be as long as a file's name: what is cut off is told apart by its checksum, and the record has it all.
  // Half a letter at the cut reads as one of three bytes.
  return `${bytes.subarray(0, nameMaxBytes - 11).toString('utf8')},${crc32(whole)}`
}

/** CNI_ARGS may say anything of a pod: a comma would make one name of two pods, a slash or a zero no name at all. */
const escaped = (text: string): string =>
  text.replace(/[%,/\0]/g, (letter) => `%${letter.charCodeAt(0).toString(16).padStart(2, '0')}`)

/** What the record's addresses are kept under once it is released; undefined when they are not kept. */
export function keptNameOf(record: AttachmentRecord): string | undefined {
  const { namespace, name } = record.pod ?? {}
  if (record.keepMs === undefined || namespace === undefined || name === undefined) return undefined
  return keptName(recordKey(record), { namespace, name })
}

/** Whether what is kept is kept for the pod of this record. Two long names may be cut to the same one: the records have them whole. */
export const isKeptFor = (kept: AttachmentRecord, { network, ifName, pod }: AttachmentRecord): boolean =>
  kept.network === network &&
  kept.ifName === ifName &&
  kept.pod?.namespace === pod?.namespace &&
  kept.pod?.name === pod?.name

/** The network of what is kept under this name; undefined when nothing is. No network's name has a comma. */
export const networkOfKept = (name: string): string | undefined =>
  isKeptName(name) ? name.slice(keptPrefix.length).split(',', 1)[0] : undefined

export const isKeptName = (name: string): boolean => name.startsWith(keptPrefix)

export const orderName = (space: string, { family, first, last }: Span): string =>
  inSpace(`${formatIp({ family, value: first })}-${formatIp({ family, value: last })}`, space)

/** Whether the order of this name is one that gives the address. */
export function orderGives(name: string, space: string, ip: Ip): boolean {
  const at = name.indexOf('@')
  if ((at < 0 ? defaultSpace : name.slice(at + 1)) !== space) return false
  const [first, last] = (at < 0 ? name : name.slice(0, at)).split('-').map((text) => parseIp(text))
  return first?.family === ip.family && last !== undefined && first.value <= ip.value && ip.value <= last.value
}

/** The names of the addresses that a record holds. */
export const leaseNames = (record: AttachmentRecord): string[] =>
  record.leases.map((lease) => addressName(leaseSpace(lease), leaseIp(lease)))
