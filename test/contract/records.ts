/** Records of attachments, with what a test wants in them. */
import { type AttachmentRecord, recordFormat } from '../../ipam/record.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'

export const keyOf = (containerId: string, { network = 'storage', ifName = 'net1' } = {}): AttachmentKey => ({
  network,
  containerId,
  ifName,
})

type Wish = Partial<Pick<AttachmentRecord, 'space' | 'link' | 'netns' | 'pod' | 'bootId'>>

/** The record of an attachment that holds these addresses, CIDR texts, of the space `default` unless it says so. */
export const recordOf = (key: AttachmentKey, addresses: readonly string[], wish: Wish = {}): AttachmentRecord => ({
  format: recordFormat,
  ...key,
  space: 'default',
  leases: addresses.map((address) => ({ address, range: address })),
  bootId: 'boot-1',
  claimedAt: '2026-01-02T03:04:05.678Z',
  ...wish,
})
