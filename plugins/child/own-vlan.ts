/**
 * The life of a VLAN link that Berth makes: with the first attachment that stands on it, until the last one is gone.
 *
 *   ADD   record (link.vlan) -> hold: look again, make it, set it up
 *   DEL   remove the pod's link -> hold: no other record has it, remove it -> release the record
 *
 * Who is recorded is seen by every DEL that looks afterwards; who looked before is waited for, and then the link is made again. Records
 * decide and not the kernel: it does not tell of links in other namespaces, and would remove them too.
 */
import type { AttachmentRecord } from '../../ipam/index.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { keyValue } from '../../shared/cni/keys.ts'
import type { AttachmentKey, Request } from '../../shared/cni/request.ts'
import { listAddresses } from '../../shared/host/addresses.ts'
import { readHostIdentity } from '../../shared/host/boot.ts'
import { SystemError } from '../../shared/host/libc.ts'
import { findLink, type Link, listLinks, setLinkUp } from '../../shared/host/links.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'
import { nodeNetns } from '../../shared/host/netns.ts'
import { createVlan } from '../../shared/host/new-links.ts'
import { setNetSysctl } from '../../shared/host/sysctl.ts'
import { log } from '../../shared/log.ts'
import { messageOf } from '../../shared/message.ts'
import type { Undo } from '../../shared/undo.ts'
import type { Deps } from '../deps.ts'
import { type ChildConfig, withPlan } from './config.ts'
import type { ChildKind } from './kind.ts'
import { findMaster, type Master } from './master.ts'
import { nodeKey } from './node-key.ts'
import { isOwnVlan } from './vlan.ts'

type Hold = (deps: Deps, key: AttachmentKey) => Promise<Disposable | undefined>

const keyOf = (deps: Deps, index: number): AttachmentKey => nodeKey(deps, `vlan${index}`)

function inWords(error: unknown, what: string): unknown {
  if (!(error instanceof SystemError)) return error
  const isUnknown = error.message.includes('Unknown device type')
  const why = isUnknown ? `the kernel has no VLANs (8021q): ${error.message}` : error.message
  return new CniError('ERR_KERNEL', `${what}: ${why}`, { cause: error })
}

/** Sets the link up with no address of its own: on the wire of the VLAN the node is nobody. */
function setUp(host: NetlinkSocket, { name, index }: Link): void {
  // 1: no address made by the kernel, not even a link-local one.
  setNetSysctl(`ipv6/conf/${name}/addr_gen_mode`, '1')
  setNetSysctl(`ipv6/conf/${name}/accept_ra`, '0')
  host.batch([setLinkUp(index)])
}

/**
 * The master of an attachment that is recorded with it, made where it is missing and up; `undo` takes back what is new of it. Throws
 * ERR_CONFIG, ERR_KERNEL and ERR_TRY_AGAIN.
 */
export async function ensureVlan(
  host: NetlinkSocket,
  config: ChildConfig,
  planned: Master,
  key: AttachmentKey,
  deps: Deps,
  undo: Undo | undefined,
): Promise<Master> {
  using _held = await deps.hold(keyOf(deps, planned.index))
  // After the wait: an undo of a call that got no turn would wait as long again.
  undo?.push('vlan', () => dropVlan(host, planned.index, deps, async () => deps.hold(keyOf(deps, planned.index)), key))
  const master = findMaster(host, config)
  if (master.index !== planned.index || master.vlanId === undefined) {
    throw new CniError('ERR_TRY_AGAIN', `Cannot use master "${planned.name}": somebody else made it meanwhile`)
  }
  try {
    if (master.own === 'missing') createVlan(host, master, master.vlanId)
    if (master.own === 'missing' || !master.up) setUp(host, master)
  } catch (error) {
    throw inWords(error, `Cannot create "${master.name}" for VLAN ${master.vlanId}`)
  }
  return findMaster(host, config)
}

/** Whether an attachment other than `key` is recorded with the link. What cannot be read may be one. */
function isRecorded({ store }: Deps, index: number, key: AttachmentKey | undefined): boolean {
  const node = store.shared ? readHostIdentity() : undefined
  const isOther = ({ network, containerId, ifName, host, link }: AttachmentRecord): boolean =>
    link?.vlan === index &&
    (node === undefined || host === node) &&
    (network !== key?.network || containerId !== key.containerId || ifName !== key.ifName)
  for (const record of store.records()) if (record === 'damaged' || isOther(record)) return true
  return false
}

/** What of the node makes use of the link; undefined when that is nothing. */
function useOf(host: NetlinkSocket, { index }: Link): string | undefined {
  const link = listLinks(host).find(({ parentIndex, parentElsewhere }) => parentIndex === index && !parentElsewhere)
  if (link !== undefined) return `link "${link.name}" stands on it`
  return listAddresses(host, index).length > 0 ? 'the node has an address on it' : undefined
}

/** Removes the link unless somebody other than `key` has it. */
async function dropVlan(
  host: NetlinkSocket,
  index: number,
  deps: Deps,
  hold: () => Promise<Disposable | undefined>,
  key?: AttachmentKey,
): Promise<void> {
  using _held = await hold()
  const link = findLink(host, { index })
  // Where nothing is recorded at all the records were taken away, and tell nothing.
  if (link === undefined || !isOwnVlan(link) || !deps.store.exists() || isRecorded(deps, index, key)) return
  const use = useOf(host, link)
  if (use !== undefined) {
    log('warn', `"${link.name}" has no attachment any more and stays: ${use}`)
    return
  }
  try {
    await deps.deleteLink(nodeNetns(), host, index)
  } catch (error) {
    throw inWords(error, `Cannot remove "${link.name}"`)
  }
}

/** The link that the config asks to be made, by its index; undefined, with a warning, when it cannot be told. */
function indexAskedFor<Config extends ChildConfig>(
  kind: ChildKind<Config>,
  host: NetlinkSocket,
  request: Request,
  deps: Deps,
): number | undefined {
  if (keyValue(request.raw, 'createVlan') !== true) return undefined
  try {
    const { own, index } = findMaster(host, withPlan(kind.readConfig(request), request, deps).config)
    return own === 'there' ? index : undefined
  } catch (error) {
    log('warn', `no VLAN link is looked for: ${messageOf(error)}`)
    return undefined
  }
}

/** DEL's part: the attachment's own link is gone, its record is not. Throws ERR_KERNEL and ERR_TRY_AGAIN. */
export async function dropVlanOf<Config extends ChildConfig>(
  kind: ChildKind<Config>,
  request: Request,
  deps: Deps,
  record: AttachmentRecord | undefined,
  hold: Hold,
): Promise<void> {
  if (record === undefined ? keyValue(request.raw, 'createVlan') !== true : record.link?.vlan === undefined) return
  using host = deps.openHost()
  const index = record?.link?.vlan ?? indexAskedFor(kind, host, request, deps)
  if (index !== undefined) await dropVlan(host, index, deps, () => hold(deps, keyOf(deps, index)), request.key)
}

/** GC's part: the link that the config asks for, when a sweep or a person released the last attachment that had it. */
export async function collectVlan<Config extends ChildConfig>(
  kind: ChildKind<Config>,
  request: Request,
  deps: Deps,
): Promise<void> {
  using host = deps.openHost()
  const index = indexAskedFor(kind, host, request, deps)
  if (index !== undefined) await dropVlan(host, index, deps, async () => deps.hold(keyOf(deps, index)))
}
