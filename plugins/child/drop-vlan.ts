/**
 * The end of a VLAN link that Berth made: it goes when no record has it any more. Records decide and not the kernel: it does not tell of
 * links in other namespaces, and would remove them too.
 */
import type { AttachmentRecord } from '../../ipam/index.ts'
import { sameKey } from '../../shared/attachment.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import { listAddresses } from '../../shared/host/addresses.ts'
import { readHostIdentity } from '../../shared/host/boot.ts'
import { findLink, type Link, listLinks } from '../../shared/host/links.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'
import { nodeNetns } from '../../shared/host/netns.ts'
import { log } from '../../shared/log.ts'
import { messageOf } from '../../shared/message.ts'
import type { Deps } from '../deps.ts'
import { inWords } from './kernel-error.ts'
import { nodeKey } from './node-key.ts'
import { isOwnVlan } from './vlan.ts'

type Dropping = Pick<Deps, 'store' | 'deleteLink'>

/** What calls hold while they make the link, and while they remove it until they are recorded with it no more. */
export const vlanKey = (deps: Pick<Deps, 'store'>, index: number): AttachmentKey => nodeKey(deps, `vlan${index}`)

/** What of the node makes use of the link; undefined when that is nothing. */
function useOf(host: NetlinkSocket, { index }: Link): string | undefined {
  const link = listLinks(host).find(({ parentIndex, parentElsewhere }) => parentIndex === index && !parentElsewhere)
  if (link !== undefined) return `link "${link.name}" stands on it`
  return listAddresses(host, index).length > 0 ? 'the node has an address on it' : undefined
}

const isInUse = 'an attachment has it'

/** Why the link stays, where `key` has no say: an attachment is recorded with it, or may be, or the node makes use of it. */
function whyItStays(
  host: NetlinkSocket,
  link: Link,
  { store }: Dropping,
  key: AttachmentKey | undefined,
): string | undefined {
  // Where nothing is recorded at all the records were taken away, and tell nothing.
  if (!store.exists()) return isInUse
  const node = store.shared ? readHostIdentity() : undefined
  const isOn = (record: AttachmentRecord): boolean =>
    record.link?.vlan === link.index && (node === undefined || record.host === node)
  const isAsking = (one: AttachmentKey | undefined): boolean =>
    one !== undefined && key !== undefined && sameKey(one, key)
  let damaged: string | undefined
  for (const record of store.records()) {
    if ('damaged' in record) {
      if (!isAsking(record.key)) damaged ??= record.damaged
    } else if (isOn(record) && !isAsking(record)) return isInUse
  }
  return damaged === undefined ? useOf(host, link) : `the record "${damaged}" is damaged, and may be of one`
}

async function remove(host: NetlinkSocket, { name, index }: Link, deps: Dropping): Promise<void> {
  try {
    await deps.deleteLink(nodeNetns(), host, index)
  } catch (error) {
    throw inWords(error, `Cannot remove "${name}"`)
  }
}

/** Removes the link unless somebody other than `key` has it. What `vlanKey` names is held. Throws ERR_KERNEL. */
export async function dropVlan(
  host: NetlinkSocket,
  index: number,
  deps: Dropping,
  key: AttachmentKey | undefined,
): Promise<void> {
  const link = findLink(host, { index })
  if (link === undefined || !isOwnVlan(link)) return
  const why = whyItStays(host, link, deps, key)
  if (why === undefined) await remove(host, link, deps)
  else if (why !== isInUse) log('warn', `"${link.name}" has no attachment any more and stays: ${why}`)
}

/**
 * Removes the links whose last attachment a sweep or a person released; the names of those that are gone, or with `dryRun` would be. What
 * fails is a warning, and for the next sweep.
 */
export async function sweepVlans(host: NetlinkSocket, deps: Dropping, dryRun: boolean): Promise<string[]> {
  const gone: string[] = []
  for (const link of listLinks(host).filter(isOwnVlan)) {
    try {
      using _held = dryRun ? undefined : deps.store.hold(vlanKey(deps, link.index))
      // Why one stays the last DEL has said; sweeps come every minute.
      if (whyItStays(host, link, deps, undefined) !== undefined) continue
      if (!dryRun) await remove(host, link, deps)
      gone.push(link.name)
    } catch (error) {
      log('warn', `"${link.name}" is left to the next sweep: ${messageOf(error)}`)
    }
  }
  return gone
}
