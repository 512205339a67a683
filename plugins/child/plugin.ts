/** A plugin that makes links on a master: its verbs, whatever the kind. */
import { ipamKeyWarnings, ipamType } from '../../ipam/index.ts'
import { CniError, orUnavailable } from '../../shared/cni/errors.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'
import { checkAddressesReady, collectFor, isForeign } from '../addresses.ts'
import type { Plugin } from '../deps.ts'
import { add } from './add.ts'
import { check } from './check.ts'
import { type ChildConfig, withPlan } from './config.ts'
import { del } from './del.ts'
import type { ChildKind } from './kind.ts'
import { findMaster } from './master.ts'
import { collectVlan } from './own-vlan.ts'

/** An ADD would succeed on a master that is down, and give its pod a wire that leads nowhere. */
function checkMaster(host: NetlinkSocket, config: ChildConfig): void {
  const master = findMaster(host, config)
  // One of our own is set up by ADD.
  if (!master.up && master.own === undefined)
    throw new CniError('ERR_CONFIG', `Cannot use master "${master.name}": it is down`)
}

export const childPlugin = <Config extends ChildConfig>(kind: ChildKind<Config>): Plugin => ({
  add: (request, deps) => add(kind, request, deps),
  del: (request, deps) => del(kind, request, deps),
  check: (request, deps) => check(kind, request, deps),

  async gc(request, deps) {
    await collectFor(request, deps)
    await kind.hostAccess?.collect(request, deps)
    await collectVlan(kind, request, deps)
  },

  async status(request, deps) {
    const { config } = withPlan(kind.readConfig(request), request, deps)
    // A master in the container cannot be looked for before there is one.
    if (!config.masterInContainer) {
      using host = deps.openHost()
      orUnavailable(() => checkMaster(host, config), 'ERR_LIMITED')
    }
    await checkAddressesReady(request, deps)
  },

  keyWarnings: (request) => [
    ...kind.keyWarnings(request),
    ...(request.config.ipam?.type === ipamType ? ipamKeyWarnings(request) : []),
  ],
  stops: isForeign,
})
