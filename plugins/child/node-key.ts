import { nodeNetwork } from '../../shared/attachment.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import { readHostName } from '../../shared/host/boot.ts'
import type { Deps } from '../deps.ts'

/**
 * What calls hold while they change something of the node that attachments share. On a share each node has its own. On one node all are to
 * hold the same, whatever a container says that the node is called.
 */
export const nodeKey = ({ store }: Pick<Deps, 'store'>, what: string): AttachmentKey => ({
  network: nodeNetwork,
  containerId: store.shared ? readHostName() : 'own',
  ifName: what,
})
