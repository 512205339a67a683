/** The record of an attachment and its leases, as the store keeps it (ipam/FORMAT.md). */

import { type Ip, parseCidr, sameIp } from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import * as z from '../../shared/cni/schema.ts'
import { openLine, sealLine } from '../../shared/sealed.ts'
import { defaultSpace } from '../plan.ts'

export const recordFormat = 1

/** Made when a record is first read: an ADD of a new attachment reads none, and need not pay for it. */
function makeSchema() {
  const text = z.string()
  const index = z.int(z.gte(1), z.lte(0x7fffffff))
  return z.strictObject({
    format: z.literal(recordFormat),
    network: text,
    containerId: text,
    ifName: text,
    leases: z.array(
      z.strictObject({
        /** CIDR text: the address and the length of its subnet. */
        address: z.string(z.refine((address: string) => parseCidr(address) !== undefined)),
        gateway: z.optional(text),
        range: text,
        /** Absent: the default one. */
        space: z.optional(text),
      }),
    ),
    /** The link that the attachment makes, chosen before it exists; absent when a foreign plugin makes it. No MAC: one made of the address. */
    link: z.optional(
      z.strictObject({
        index,
        mac: z.optional(text),
        /** The index of the master whose host-side link leads to it. */
        hostAccess: z.optional(index),
        /** The master and the mode of an ipvlan: all of a master have one mode. */
        ipvlan: z.optional(z.strictObject({ master: index, mode: z.enum(['l2', 'l3', 'l3s']) })),
        /** The index of the VLAN link that it stands on, and that goes with the last attachment that has it. */
        vlan: z.optional(index),
      }),
    ),
    /** The pod's namespace: where it was, and what tells it from every other one of this boot. */
    netns: z.optional(z.strictObject({ path: text, dev: z.number(), ino: z.number() })),
    pod: z.optional(z.strictObject({ namespace: z.optional(text), name: z.optional(text), uid: z.optional(text) })),
    /** A released attachment keeps its addresses this long for a pod of the same name. */
    keepMs: z.optional(z.int(z.gte(0))),
    /** The IPAM that it was taken over from: nobody told its namespace, so only DEL, GC and people release it. */
    imported: z.optional(text),
    /** The node's name: in a store that nodes share, each judges only its own namespaces. */
    host: text,
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

/** The address of a lease. The text was verified when the record was read or made. */
export function leaseIp(lease: Lease): Ip {
  const cidr = parseCidr(lease.address)
  if (cidr === undefined) throw new CniError('ERR_DAMAGED', `Cannot read lease "${lease.address}": not an address`)
  return cidr.ip
}

export const leaseSpace = ({ space }: Lease): string => space ?? defaultSpace

/** Whether the record says that its attachment holds this address. */
export const holdsAddress = (record: AttachmentRecord, space: string, ip: Ip): boolean =>
  record.leases.some((lease) => leaseSpace(lease) === space && sameIp(leaseIp(lease), ip))

/** Who uses the addresses of what is kept, when it is a quarantine; undefined when it is kept for a pod. No pod has a space in its name. */
export function offenderOf({ pod }: AttachmentRecord): string | undefined {
  const [mac, ip] = pod?.name?.split(' ') ?? []
  return pod?.namespace === 'conflict' && ip !== undefined ? mac : undefined
}

export const renderRecord = (record: AttachmentRecord): string => sealLine(record)

/** Reads a record's text; undefined when it is not one whole record of this format. */
export function parseRecord(text: string): AttachmentRecord | undefined {
  schema ??= makeSchema()
  const read = z.safeParse(schema, openLine(text))
  return read.success ? read.data : undefined
}
