import { hostname } from 'node:os'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import type { Deps } from '../deps.ts'

/**
 * What calls hold while they change something of the node that attachments share. No network's name starts with a dot, and on a share
 * each node has its own. On one node all are to hold the same, whatever a container says that the node is called.
 */
export const nodeKey = ({ store }: Deps, what: string): AttachmentKey => ({
  network: '.node',
  containerId: store.shared ? hostname() : 'own',
  ifName: what,
})
