/** `berth leases list`: who holds which address on this node. */
import { type AttachmentRecord, openStore } from '../ipam/index.ts'
import { parseCidr } from '../shared/address.ts'

const columns = ['ADDRESS', 'NETWORK', 'CONTAINER', 'INTERFACE', 'POD', 'SINCE'] as const

function rowsOf(record: AttachmentRecord): string[][] {
  const pod = record.pod?.name === undefined ? '-' : `${record.pod.namespace ?? ''}/${record.pod.name}`
  const rest = [record.network, record.containerId, record.ifName, pod, record.claimedAt]
  // An attachment without addresses (layer 2) is listed too: it is there, and DEL will need its record.
  return record.leases.length === 0 ? [['-', ...rest]] : record.leases.map(({ address }) => [address, ...rest])
}

/** By first address as a number, those without one first: .9 before .10. */
function byAddress(a: AttachmentRecord, b: AttachmentRecord): number {
  const [first, second] = [a, b].map(({ leases: [lease] }) => parseCidr(lease?.address ?? '')?.ip)
  if (first === undefined || second === undefined) return Number(first !== undefined) - Number(second !== undefined)
  if (first.family !== second.family) return first.family - second.family
  return first.value < second.value ? -1 : 1
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = columns.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    cells
      // A pod's name must not forge a row or move the terminal's cursor.
      .map((cell, column) => cell.replace(/\p{Cc}/gu, '?').padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return `${[line(columns), ...rows.map(line)].join('\n')}\n`
}

/** The leases as a table, or as JSON with the whole records. Damaged entries are named below the table. */
export function leases(dataDir: string, json: boolean): string {
  const { records, damaged } = openStore(dataDir).list()
  if (json) return `${JSON.stringify({ attachments: records, damaged }, undefined, 2)}\n`
  const rows = [...records].sort(byAddress).flatMap(rowsOf)
  const warnings = damaged.map((name) => `damaged: ${dataDir}/leases/${name}\n`)
  return (rows.length === 0 ? 'no leases\n' : table(rows)) + warnings.join('')
}
