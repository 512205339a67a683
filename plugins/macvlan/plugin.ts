/** berth-macvlan: its verbs. */
import { ipamKeyWarnings, ipamType } from '../../ipam/index.ts'
import { CniError, orUnavailable } from '../../shared/cni/errors.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'
import { checkAddressesReady, collectFor, isForeign } from '../addresses.ts'
import type { Plugin } from '../deps.ts'
import { add } from './add.ts'
import { check } from './check.ts'
import { type MacvlanConfig, macvlanConfig, macvlanKeyWarnings } from './config.ts'
import { del } from './del.ts'
import { collectHostAccess } from './host-access.ts'
import { findMaster } from './master.ts'

/** An ADD would succeed on a master that is down, and give its pod a wire that leads nowhere. */
function checkMaster(host: NetlinkSocket, config: MacvlanConfig): void {
  const master = findMaster(host, config)
  if (!master.up) throw new CniError('ERR_CONFIG', `Cannot use master "${master.name}": it is down`)
}

export const macvlanPlugin: Plugin = {
  add,
  del,
  check,

  async gc(request, deps) {
    await collectFor(request, deps)
    await collectHostAccess(request, deps)
  },

  async status(request, deps) {
    const config = macvlanConfig(request)
    // A master in the container cannot be looked for before there is one.
    if (!config.masterInContainer) {
      using host = deps.openHost()
      orUnavailable(() => checkMaster(host, config), 'ERR_LIMITED')
    }
    await checkAddressesReady(request, deps)
  },

  keyWarnings: (request) => [
    ...macvlanKeyWarnings(request),
    ...(request.config.ipam?.type === ipamType ? ipamKeyWarnings(request) : []),
  ],
  stops: isForeign,
}
