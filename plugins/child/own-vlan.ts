/**
 * The life of a VLAN link that Berth makes: with the first attachment that stands on it, until the last one is gone.
 *
 *   ADD   record (link.vlan) -> hold: look again, make it, set it up
 *   DEL   remove the pod's link -> hold: no other record has it, remove it, release the record
 *
 * Who is recorded is seen by every DEL that looks afterwards; who looked before is waited for, and then the link is made again. Of two
 * last DELs the second one looks when the record of the first is gone.
 */
import type { AttachmentRecord } from '../../ipam/index.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { keyValue } from '../../shared/cni/keys.ts'
import type { AttachmentKey, Request } from '../../shared/cni/request.ts'
import { SystemError } from '../../shared/host/libc.ts'
import { type Link, setLinkUp } from '../../shared/host/links.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'
import { createVlan } from '../../shared/host/new-links.ts'
import { setNetSysctl } from '../../shared/host/sysctl.ts'
import type { Undo } from '../../shared/undo.ts'
import type { Deps } from '../deps.ts'
import type { ChildConfig } from './config.ts'
import { dropVlan, vlanKey } from './drop-vlan.ts'
import { inWords, isUnknownKind } from './kernel-error.ts'
import type { ChildKind } from './kind.ts'
import { findMaster, type Master, masterAskedFor } from './master.ts'

function whyNot(error: unknown, what: string): unknown {
  const isUnknown = error instanceof SystemError && isUnknownKind(error)
  return inWords(error, isUnknown ? `${what}: the kernel has no VLANs (8021q)` : what)
}

/** Sets the link up with no address of its own: on the wire of the VLAN the node is nobody. */
function setUp(host: NetlinkSocket, { name, index }: Link): void {
  // 1: the node is not asked here for the addresses that it has on other links, and it would answer.
  setNetSysctl(`ipv4/conf/${name}/arp_ignore`, '1')
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
  const turn = async (): Promise<Disposable> => deps.hold(vlanKey(deps, planned.index))
  using _held = await turn()
  // After the wait: an undo of a call that got no turn would wait as long again.
  undo?.push('vlan', async () => {
    undo.keep(await turn())
    await dropVlan(host, planned.index, deps, key)
  })
  const master = findMaster(host, config)
  if (master.index !== planned.index || master.vlanId === undefined) {
    throw new CniError('ERR_TRY_AGAIN', `Cannot use master "${planned.name}": somebody else made it meanwhile`)
  }
  try {
    if (master.own === 'missing') createVlan(host, { ...master, mac: master.ownMac }, master.vlanId)
    if (master.own === 'missing' || !master.up) setUp(host, master)
  } catch (error) {
    throw whyNot(error, `Cannot create "${master.name}" for VLAN ${master.vlanId}`)
  }
  return findMaster(host, config)
}

/** The link that the config asks to be made, by its index; undefined, with a warning, when it cannot be told. Throws Declined. */
function indexAskedFor<Config extends ChildConfig>(
  kind: ChildKind<Config>,
  host: NetlinkSocket,
  request: Request,
  deps: Deps,
): number | undefined {
  if (keyValue(request.raw, 'createVlan') !== true) return undefined
  const master = masterAskedFor(host, kind.readConfig, request, deps, 'VLAN link')
  return master?.own === 'there' ? master.index : undefined
}

/**
 * DEL's part: the attachment's own link is gone, its record is not, and is to be released before the answer is disposed of. `hold` waits for
 * other calls, or answers undefined where it cannot. Throws ERR_KERNEL and ERR_TRY_AGAIN.
 */
export async function dropVlanOf<Config extends ChildConfig>(
  kind: ChildKind<Config>,
  request: Request,
  deps: Deps,
  record: AttachmentRecord | undefined,
  hold: (deps: Deps, key: AttachmentKey) => Promise<Disposable | undefined>,
): Promise<Disposable | undefined> {
  if (record === undefined ? keyValue(request.raw, 'createVlan') !== true : record.link?.vlan === undefined) return
  using host = deps.openHost()
  const index = record?.link?.vlan ?? indexAskedFor(kind, host, request, deps)
  if (index === undefined) return
  const held = await hold(deps, vlanKey(deps, index))
  try {
    await dropVlan(host, index, deps, request.key)
    return held
  } catch (error) {
    held?.[Symbol.dispose]()
    throw error
  }
}

/** GC's part: the link that the config asks for, when a sweep or a person released the last attachment that had it. */
export async function collectVlan<Config extends ChildConfig>(
  kind: ChildKind<Config>,
  request: Request,
  deps: Deps,
): Promise<void> {
  using host = deps.openHost()
  const index = indexAskedFor(kind, host, request, deps)
  if (index === undefined) return
  using _held = await deps.hold(vlanKey(deps, index))
  await dropVlan(host, index, deps, undefined)
}
