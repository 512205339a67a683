/** berth-macvlan: its verbs. */
import { ipamKeyWarnings, ipamType } from '../../ipam/index.ts'
import { orUnavailable } from '../../shared/cni/errors.ts'
import { NetlinkSocket } from '../../shared/host/netlink.ts'
import { checkAddressesReady, collectFor } from '../addresses.ts'
import type { Plugin } from '../deps.ts'
import { add } from './add.ts'
import { check } from './check.ts'
import { macvlanConfig, macvlanKeyWarnings } from './config.ts'
import { del } from './del.ts'
import { findMaster } from './master.ts'

export const macvlanPlugin: Plugin = {
  add,
  del,
  check,
  gc: collectFor,

  async status(request, deps) {
    const config = macvlanConfig(request)
    // A master in the container cannot be looked for before there is one.
    if (!config.masterInContainer) {
      using host = new NetlinkSocket()
      orUnavailable(() => findMaster(host, config))
    }
    await checkAddressesReady(request, deps)
  },

  keyWarnings: (request) => [
    ...macvlanKeyWarnings(request),
    ...(request.config.ipam?.type === ipamType ? ipamKeyWarnings(request) : []),
  ],
}
