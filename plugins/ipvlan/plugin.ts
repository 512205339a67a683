/** berth-ipvlan: links with their master's MAC, which tell what is theirs by the address. */
import type { AttachmentRecord, Store } from '../../ipam/index.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { readBootId, readHostIdentity } from '../../shared/host/boot.ts'
import type { IpvlanMode, Link } from '../../shared/host/links.ts'
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

/**
 * The kernel would change the mode of all ipvlans of the master. Who is recorded was let through here, so the first one found
 * speaks for all.
 */
function refuseOtherMode(mode: IpvlanMode, master: Link, ifName: string, store: Store): void {
  if (!store.exists()) return
  for (const record of store.records()) {
    if (record === 'damaged' || !isOn(record, master, store.shared)) continue
    const { containerId, network, link } = record
    if (link?.ipvlan?.mode === mode) return
    const has = `master "${master.name}" has ipvlans in mode "${link?.ipvlan?.mode}", and can have only one mode`
    const details = `"${containerId}/${record.ifName}" of network "${network}" is one of them`
    throw new CniError('ERR_CONFLICT', `Cannot create "${ifName}" in mode "${mode}": ${has}`, { details })
  }
}

const ipvlan: ChildKind<IpvlanConfig> = {
  name: 'ipvlan',
  readConfig: ipvlanConfig,
  keyWarnings: ipvlanKeyWarnings,

  refuse({ mac }) {
    if (mac === undefined) return
    throw new CniError('ERR_CONFIG', `Cannot use mac "${mac}": an ipvlan has its master's`)
  },

  refuseOn: () => undefined,
  hasOwnMac: false,
  macOn: (_, master) => master.mac,
  recorded: ({ mode }, master) => ({ ipvlan: { master: master.index, mode } }),

  async reserve({ mode }, master, request, deps) {
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
  whyBusy: 'it has macvlans, or is a port of a bridge or a bond, and then it takes no ipvlan: ',
  modeOf: ({ ipvlanMode }) => ipvlanMode,
}

export const ipvlanPlugin = childPlugin(ipvlan)
