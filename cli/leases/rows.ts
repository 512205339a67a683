/** Leases as rows of a table, the same in every command. */
import { defaultSpace, type Entry, keptUntil, leaseIp, leaseSpace } from '../../ipam/admin.ts'
import type { AttachmentRecord, Lease } from '../../ipam/index.ts'

export const timeText = (ms: number): string => new Date(ms).toISOString()

/** `10.0.0.5/24`, with `@space` where that is not the one shared by all. */
export const addressText = (lease: Lease): string =>
  leaseSpace(lease) === defaultSpace ? lease.address : `${lease.address}@${leaseSpace(lease)}`

export const podText = ({ pod }: AttachmentRecord): string =>
  pod?.name === undefined ? '-' : `${pod.namespace ?? ''}/${pod.name}`

/** `held`, where it comes from if it is imported, or for whom and until when it is kept. */
export function stateText({ record, kept }: Entry): string {
  if (kept === undefined) return record.imported === undefined ? 'held' : `imported from ${record.imported}`
  const { untilMs, inUseBy } = keptUntil(kept)
  const until = timeText(untilMs)
  return inUseBy === undefined
    ? `kept for ${podText(record)} until ${until}`
    : `in use by ${inUseBy} on the wire until ${until}`
}

export const leaseColumns = ['ADDRESS', 'NETWORK', 'CONTAINER', 'INTERFACE', 'POD', 'SINCE'] as const

/** A row for each address. An attachment without addresses (layer 2) has one too: it is there, and DEL will need its record. */
export function leaseRows({ record, kept }: Entry): string[][] {
  const offence = kept !== undefined && keptUntil(kept).inUseBy !== undefined
  const who = offence ? ['-', '-', '-'] : [record.containerId, record.ifName, podText(record)]
  const since = kept === undefined ? record.claimedAt : timeText(kept.sinceMs)
  const rest = [record.network, ...who, since]
  return record.leases.length === 0 ? [['-', ...rest]] : record.leases.map((lease) => [addressText(lease), ...rest])
}

/** By first address as a number, those without one first: .9 before .10. */
export function byAddress({ record: a }: Entry, { record: b }: Entry): number {
  const [first, second] = [a, b].map(({ leases: [lease] }) => lease && leaseIp(lease))
  if (first === undefined || second === undefined) return Number(first !== undefined) - Number(second !== undefined)
  if (first.family !== second.family) return first.family - second.family
  return first.value === second.value ? 0 : first.value < second.value ? -1 : 1
}

/** What JSON says of what is kept. */
export function keptJson(entry: Entry): object {
  const { record, kept } = entry
  if (kept === undefined) return record
  const { untilMs, inUseBy } = keptUntil(kept)
  return {
    since: timeText(kept.sinceMs),
    until: timeText(untilMs),
    ...(inUseBy === undefined ? {} : { inUseBy }),
    attachment: record,
  }
}
