/**
 * DEL: what leads to the interface first, then the interface, its addresses last. What is absent is done; what fails stays
 * recorded, so that a retry goes on where this one stopped.
 */

import type { AttachmentRecord } from '../../ipam/index.ts'
import { parseCidr } from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import type { AttachmentKey, Request } from '../../shared/cni/request.ts'
import { parseResult, type Result } from '../../shared/cni/result.ts'
import { isErrno } from '../../shared/disk.ts'
import { readBootId } from '../../shared/host/boot.ts'
import { SystemError } from '../../shared/host/libc.ts'
import { findLink } from '../../shared/host/links.ts'
import { livingNamespaces } from '../../shared/host/living.ts'
import { NetlinkSocket } from '../../shared/host/netlink.ts'
import { insideNetns, type Netns, openNetnsIfAny, sameNetns } from '../../shared/host/netns.ts'
import { log, timed } from '../../shared/log.ts'
import { messageOf } from '../../shared/message.ts'
import { release } from '../addresses.ts'
import { removeRules } from '../configure.ts'
import type { Deps } from '../deps.ts'
import type { ChildConfig } from './config.ts'
import type { ChildKind } from './kind.ts'
import { dropVlanOf } from './own-vlan.ts'

/** The record, or undefined when there is none or it is damaged: a DEL must not fail for that. */
function findRecord(request: Request, { store }: Deps): AttachmentRecord | undefined {
  try {
    return store.find(request.key)
  } catch (error) {
    if (!(error instanceof CniError) || error.errorName !== 'ERR_DAMAGED') throw error
    log('warn', error.message)
    return undefined
  }
}

/** The result of the ADD, if it was passed and can be read. */
function previousOf({ config, version }: Request): Result | undefined {
  if (config.prevResult === undefined) return undefined
  try {
    return parseResult(config.prevResult, version)
  } catch (error) {
    log('warn', `prevResult is ignored: ${messageOf(error)}`)
    return undefined
  }
}

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

/**
 * The namespace to look in. A runtime that has lost it passes none, or a path that leads nowhere; while the pod lives, the
 * recorded path still leads to the namespace that its identity tells apart from all others.
 */
function openOwnNetns(request: Request, record: AttachmentRecord | undefined, { root }: Deps): Netns | undefined {
  const recorded = record?.netns
  if (recorded === undefined) return openNetnsIfAny(request.netnsPath, request.netnsOverride, root)
  for (const path of [recorded.path, request.netnsPath]) {
    const found = openNetnsIfAny(path, true, root)
    if (found !== undefined && sameNetns(recorded, found.identity)) return found
    found?.[Symbol.dispose]()
  }
  // Its name is gone or somebody else's: what still uses it shows another. One of an earlier boot is nobody's.
  const path = record?.bootId === readBootId() ? livingNamespaces().find(recorded) : undefined
  const found = path === undefined ? undefined : openNetnsIfAny(path, true)
  if (found !== undefined && sameNetns(recorded, found.identity)) return found
  found?.[Symbol.dispose]()
  return undefined
}

/** Waits for other calls of what `key` names. On a disk without room for that a DEL goes on alone: it only makes room. */
async function holdIfRoom({ store, hold }: Deps, key: AttachmentKey): Promise<Disposable | undefined> {
  try {
    return store.exists() ? await hold(key) : undefined
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined
    if (!isErrno(cause, 'ENOSPC', 'EDQUOT')) throw error
    log('warn', messageOf(error))
    return undefined
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
  await timed('vlan', () => dropVlanOf(kind, request, deps, record, holdIfRoom))
  await timed('release', () => release(request, deps))
}
