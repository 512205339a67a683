/** berth-macvlan: links with a MAC of their own on a master. */
import { CniError } from '../../shared/cni/errors.ts'
import { createMacvlan } from '../../shared/host/new-links.ts'
import type { ChildKind } from '../child/kind.ts'
import { childPlugin } from '../child/plugin.ts'
import { refuseNoAccess } from './access.ts'
import { type MacvlanConfig, macvlanConfig, macvlanKeyWarnings } from './config.ts'
import { checkHostAccess, collectHostAccess, grantHostAccess, withdrawHostAccess } from './host-access.ts'

const macvlan: ChildKind<MacvlanConfig> = {
  name: 'macvlan',
  readConfig: macvlanConfig,
  keyWarnings: macvlanKeyWarnings,

  refuse(config) {
    if (config.hostAccess) refuseNoAccess(config)
  },

  refuseOn({ mode, mac }) {
    if (mode !== 'passthru' || mac === undefined) return
    throw new CniError('ERR_CONFIG', `Cannot use mac "${mac}": in mode "passthru" the link has its master's`)
  },

  hasOwnMac: true,
  macOn: ({ mode, mac }, master) => (mode === 'passthru' ? master.mac : mac),
  recorded: ({ hostAccess }, master) => (hostAccess ? { hostAccess: master.index } : {}),
  create: (socket, spec, { mode, broadcastQueueLength }) =>
    createMacvlan(socket, { ...spec, mode, broadcastQueueLength }),
  whyBusy: ': it has ipvlans, a link in mode "passthru", or is a port of a bridge or a bond',
  modeOf: ({ macvlanMode }) => macvlanMode,
  hostAccess: {
    grant: grantHostAccess,
    withdraw: withdrawHostAccess,
    check: checkHostAccess,
    collect: collectHostAccess,
  },
}

export const macvlanPlugin = childPlugin(macvlan)
