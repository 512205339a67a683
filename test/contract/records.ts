/** Records of attachments, with what a test wants in them. */

import { type AttachmentRecord, recordFormat } from '../../ipam/ledger/record.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import { crc32 } from '../../shared/crc32.ts'

export const keyOf = (containerId: string, { network = 'storage', ifName = 'net1' } = {}): AttachmentKey => ({
  network,
  containerId,
  ifName,
})

type Wish = Partial<Pick<AttachmentRecord, 'link' | 'netns' | 'pod' | 'keepMs' | 'host' | 'bootId'>> & {
  space?: string
}

/** The record of an attachment that holds these addresses, CIDR texts, of the space `default` unless it says so. */
export const recordOf = (
  key: AttachmentKey,
  addresses: readonly string[],
  { space, ...wish }: Wish = {},
): AttachmentRecord => ({
  format: recordFormat,
  ...key,
  leases: addresses.map((address) => ({ address, range: address, ...(space === undefined ? {} : { space }) })),
  host: 'node-1',
  bootId: 'boot-1',
  claimedAt: '2026-01-02T03:04:05.678Z',
  ...wish,
})

/** A line with a right checksum, whatever is in it. */
export function signed(value: object): string {
  const body = JSON.stringify(value).slice(0, -1)
  return `${body},"crc32":"${crc32(body)}"}\n`
}
