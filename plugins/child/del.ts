/**
 * DEL: what leads to the interface first, then the interface, its addresses last. What is absent is done; what fails stays
 * recorded, so that a retry goes on where this one stopped.
 */

import type { AttachmentRecord } from '../../ipam/index.ts'
import { parseCidr } from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import type { Request } from '../../shared/cni/request.ts'
import type { Result } from '../../shared/cni/result.ts'
import { SystemError } from '../../shared/host/libc.ts'
import { findLink } from '../../shared/host/links.ts'
import { NetlinkSocket } from '../../shared/host/netlink.ts'
import { insideNetns, type Netns } from '../../shared/host/netns.ts'
import { timed } from '../../shared/log.ts'
import { release } from '../addresses.ts'
import { removeRules } from '../configure.ts'
import type { Deps } from '../deps.ts'
import { findRecord, holdIfRoom, openOwnNetns, previousOf } from '../recorded.ts'
import type { ChildConfig } from './config.ts'
import type { ChildKind } from './kind.ts'
import { dropVlanOf } from './own-vlan.ts'

/**
 * The index of the attachment's link: the recorded one, whatever it is called by now. When none is recorded, the one of
 * this kind that prevResult describes. Never just the one of that name: it may be another attachment's, or the pod's own.
 */
function findOwnIndex(
  socket: NetlinkSocket,
  { key }: Request,
  record: AttachmentRecord | undefined,
  previous: Result | undefined,
  kind: string,
): number | undefined {
  // One that was imported was made by another plugin, and its record knows no link.
  if (record !== undefined && record.imported === undefined) {
    // Not looked at first: a pod can make the description of its link longer than any answer.
    return record.link?.index
  }
  const mac = previous?.interfaces.find(({ name }) => name === key.ifName)?.mac
  const link = mac === undefined ? undefined : findLink(socket, { name: key.ifName })
  return link?.kind === kind && link.mac === mac?.toLowerCase() ? link.index : undefined
}

async function removeLink(
  netns: Netns,
  request: Request,
  deps: Deps,
  record: AttachmentRecord | undefined,
  previous: Result | undefined,
  kind: string,
): Promise<void> {
  using socket = insideNetns(netns, () => new NetlinkSocket())
  try {
    const index = findOwnIndex(socket, request, record, previous, kind)
    if (index === undefined) return
    const held = [...(record?.leases ?? []), ...(previous?.ips ?? [])].flatMap(
      ({ address }) => parseCidr(address) ?? [],
    )
    // Before the link: a retry of this call finds them by it.
    removeRules(
      socket,
      index,
      held.map(({ ip }) => ip),
    )
    await deps.deleteLink(netns, socket, index)
  } catch (error) {
    if (!(error instanceof SystemError)) throw error
    throw new CniError('ERR_KERNEL', `Cannot remove "${request.key.ifName}": ${error.message}`, { cause: error })
  }
}

export async function del<Config extends ChildConfig>(
  kind: ChildKind<Config>,
  request: Request,
  deps: Deps,
): Promise<void> {
  // Where nothing was ever recorded there is nobody to wait for, and nothing to make for it.
  using _held = await holdIfRoom(deps, request.key)
  const record = findRecord(request, deps)
  const previous = previousOf(request)
  // The node's side goes first, and without the pod's namespace: runtimes exist that do not come back after a failure.
  await timed('host access', () => kind.hostAccess?.withdraw(request, deps, record, previous, holdIfRoom))
  using netns = openOwnNetns(request, record, deps)
  if (netns !== undefined) await timed('remove', () => removeLink(netns, request, deps, record, previous, kind.name))
  // Held until the record is gone: who looks next is not to take it for somebody's.
  using _vlan = await timed('vlan', () => dropVlanOf(kind, request, deps, record, holdIfRoom))
  await timed('release', () => release(request, deps))
}
