/** Attachments as keys: telling them apart, and naming one in a message. */
import type { AttachmentKey } from './cni/request.ts'

/** `"ctr-1/eth0" of network "storage"`, as messages name a holder. */
export const describeKey = ({ network, containerId, ifName }: AttachmentKey): string =>
  `"${containerId}/${ifName}" of network "${network}"`

export const sameKey = (a: AttachmentKey, b: AttachmentKey): boolean =>
  a.network === b.network && a.containerId === b.containerId && a.ifName === b.ifName

/** In the place of a network, of what is the node's and not one attachment's: no network's name starts with a dot. */
export const nodeNetwork = '.node'
