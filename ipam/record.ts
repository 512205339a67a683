/** The record of an attachment and its leases, as the store keeps it (ipam/FORMAT.md). */
import * as z from 'zod/mini'
import { type Ip, parseCidr } from '../shared/address.ts'
import { CniError } from '../shared/cni/errors.ts'
import type { AttachmentKey } from '../shared/cni/request.ts'

export const recordFormat = 1

/** Made when a record is first read: an ADD of a new attachment reads none, and need not pay for it. */
function makeSchema() {
  const text = z.string()
  return z.strictObject({
    format: z.literal(recordFormat),
    network: text,
    containerId: text,
    ifName: text,
    space: text,
    leases: z.array(
      z.strictObject({
        /** CIDR text: the address and the length of its subnet. */
        address: text.check(z.refine((address) => parseCidr(address) !== undefined)),
        gateway: z.optional(text),
        range: text,
      }),
    ),
    /** The link that the attachment makes, chosen before it exists; absent when a foreign plugin makes it. */
    link: z.optional(z.strictObject({ index: z.int().check(z.gte(1), z.lte(0x7fffffff)), mac: text })),
    /** The pod's namespace: where it was, and what tells it from every other one of this boot. */
    netns: z.optional(z.strictObject({ path: text, dev: z.number(), ino: z.number() })),
    pod: z.optional(z.strictObject({ namespace: z.optional(text), name: z.optional(text), uid: z.optional(text) })),
    bootId: text,
    /** RFC 3339, UTC. */
    claimedAt: text,
  })
}
let schema: ReturnType<typeof makeSchema> | undefined

export type AttachmentRecord = z.output<ReturnType<typeof makeSchema>>
export type Lease = AttachmentRecord['leases'][number]

export const recordKey = ({ network, containerId, ifName }: AttachmentRecord): AttachmentKey => ({
  network,
  containerId,
  ifName,
})

/** `"ctr-1/eth0" of network "storage"`, as messages name a holder. */
export const describeKey = ({ network, containerId, ifName }: AttachmentKey): string =>
  `"${containerId}/${ifName}" of network "${network}"`

export const sameKey = (a: AttachmentKey, b: AttachmentKey): boolean =>
  a.network === b.network && a.containerId === b.containerId && a.ifName === b.ifName

/** The address of a lease. The text was verified when the record was read or made. */
export function leaseIp(lease: Lease): Ip {
  const cidr = parseCidr(lease.address)
  if (cidr === undefined) throw new CniError('ERR_DAMAGED', `Cannot read lease "${lease.address}": not an address`)
  return cidr.ip
}

export const renderRecord = (record: AttachmentRecord): string => `${JSON.stringify(record)}\n`

/** Reads a record's text; undefined when it is not a whole record of this format. */
export function parseRecord(text: string): AttachmentRecord | undefined {
  let raw: unknown
  try {
    raw = JSON.parse(text)
  } catch {
    return undefined
  }
  schema ??= makeSchema()
  const read = z.safeParse(schema, raw)
  return read.success ? read.data : undefined
}
