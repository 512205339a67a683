/** berth-ipvlan: links with their master's MAC, which tell what is theirs by the address. */
import type { AttachmentRecord, Store } from '../../ipam/index.ts'
import { parseCidr } from '../../shared/address.ts'
import { describeKey } from '../../shared/attachment.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { parseResult } from '../../shared/cni/result.ts'
import { readBootId, readHostIdentity } from '../../shared/host/boot.ts'
import { type IpvlanMode, type Link, listLinks } from '../../shared/host/links.ts'
import { livingNamespaces, stillUsed } from '../../shared/host/living.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'
import { netnsAlive } from '../../shared/host/netns.ts'
import { createIpvlan } from '../../shared/host/new-links.ts'
import type { ChildKind } from '../child/kind.ts'
import { nodeKey } from '../child/node-key.ts'
import { childPlugin } from '../child/plugin.ts'
import { type IpvlanConfig, ipvlanConfig, ipvlanKeyWarnings } from './config.ts'

/** Whether a record of this boot and node is of an ipvlan on the master. */
const isOn = (record: AttachmentRecord, master: Link, isShared: boolean): boolean =>
  record.link?.ipvlan?.master === master.index &&
  record.bootId === readBootId() &&
  (!isShared || record.host === readHostIdentity())

/** Whether the pod of a record may still be there: one whose DEL never came has no ipvlan any more. */
function mayLive({ netns, link, leases }: AttachmentRecord): boolean {
  if (netns === undefined || netnsAlive(netns.path, netns)) return true
  const ips = leases.flatMap(({ address }) => parseCidr(address)?.ip ?? [])
  return stillUsed(livingNamespaces(), netns, link?.index, ips)
}

function refuseMode(wanted: string, { name }: Link, has: IpvlanMode | undefined, ifName: string, who: string): never {
  const why = `master "${name}" has ipvlans in mode "${has}", and can have only one mode`
  const details = `${who} is one of them`
  throw new CniError('ERR_CONFLICT', `Cannot create "${ifName}" in mode "${wanted}": ${why}`, { details })
}

/**
 * The kernel would change the mode of all ipvlans of the master. Who is recorded was let through here, so the first one found whose pod
 * is there speaks for all.
 */
function refuseOtherMode(mode: IpvlanMode, master: Link, ifName: string, store: Store): void {
  if (!store.exists()) return
  for (const record of store.records()) {
    if ('damaged' in record || !isOn(record, master, store.shared)) continue
    const { netns, link } = record
    const isSame = link?.ipvlan?.mode === mode
    if (isSame && netns !== undefined && netnsAlive(netns.path, netns)) return
    if (!isSame && mayLive(record)) refuseMode(mode, master, link?.ipvlan?.mode, ifName, describeKey(record))
  }
}

/** The same for a master of the pod's own: all its ipvlans that anybody knows of are beside it. */
function refuseOtherModeIn(pod: NetlinkSocket, mode: IpvlanMode, master: Link, ifName: string): void {
  const other = listLinks(pod).find(
    ({ kind, parentIndex, parentElsewhere, ipvlanMode }) =>
      kind === 'ipvlan' && parentIndex === master.index && !parentElsewhere && ipvlanMode !== mode,
  )
  if (other !== undefined) refuseMode(mode, master, other.ipvlanMode, ifName, `"${other.name}" of the pod`)
}

const ipvlan: ChildKind<IpvlanConfig> = {
  name: 'ipvlan',
  readConfig: ipvlanConfig,
  keyWarnings: ipvlanKeyWarnings,

  refuse({ mac, ipamType }, { config: { prevResult }, version }) {
    if (mac !== undefined) throw new CniError('ERR_CONFIG', `Cannot use mac "${mac}": an ipvlan has its master's`)
    if (prevResult === undefined || ipamType !== undefined) return
    // The reference plugin would take them over, and its config shall not lead to a link without any.
    const [first] = parseResult(prevResult, version).ips
    if (first === undefined) return
    const why = 'addresses of an ipvlan come from its own "ipam", and there is none'
    throw new CniError('ERR_CONFIG', `Cannot use "${first.address}" of prevResult: ${why}`)
  },

  refuseOn: () => undefined,
  hasOwnMac: false,
  macOn: (_, master) => master.mac,
  // The index of a pod's own link is another link's on the node, and in the next pod.
  recorded: ({ mode, masterInContainer }, master) =>
    masterInContainer ? {} : { ipvlan: { master: master.index, mode } },

  async reserve(home, { mode, masterInContainer }, master, request, deps) {
    if (masterInContainer) {
      refuseOtherModeIn(home, mode, master, request.key.ifName)
      return undefined
    }
    const held = await deps.hold(nodeKey(deps, `ipvlan${master.index}`))
    try {
      refuseOtherMode(mode, master, request.key.ifName, deps.store)
      return held
    } catch (error) {
      held[Symbol.dispose]()
      throw error
    }
  },
  create: (socket, spec, { mode }) => createIpvlan(socket, spec, mode),
  whyBusy: ': it has macvlans, or is a port of a bridge or a bond, and then it takes no ipvlan',
  modeOf: ({ ipvlanMode }) => ipvlanMode,
}

export const ipvlanPlugin = childPlugin(ipvlan)
