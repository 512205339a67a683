/** berth-ipam as a plugin of its own, under a main plugin that is not ours. */
import { checkLeases, checkReady, claimOf, collect, ipamKeyWarnings, ipamResult, planOf } from '../../ipam/index.ts'
import { CniError, orUnavailable } from '../../shared/cni/errors.ts'
import { parseResult } from '../../shared/cni/result.ts'
import { openNetnsIfAny } from '../../shared/host/netns.ts'
import { log } from '../../shared/log.ts'
import { Undo } from '../../shared/undo.ts'
import type { Plugin } from '../deps.ts'

export const ipamPlugin: Plugin = {
  async add(request, { claim, undoClaim, root }) {
    const plan = planOf(request, root)
    if (plan.probe) log('warn', '"ipam.conflictCheck" is ignored: only a Berth plugin can ask the wire')
    const { vlan = 0 } = plan.link
    if (vlan !== 0) log('warn', `vlan ${vlan} of "ipam.networks" is ignored: it is for the main plugin to attach to it`)
    // The main plugin works in the namespace; here it only identifies the attachment's pod, where there is one.
    using netns = openNetnsIfAny(request.netnsPath, request.netnsOverride, root)
    return await Undo.guard(async (undo) => {
      const { record, fresh, durable } = await claim(claimOf(request, plan, netns))
      if (fresh) undo.push('claim', async () => void (await undoClaim(request.key)))
      await durable
      return ipamResult(record, plan)
    })
  },

  async del(request, { release }) {
    // The record says what is held: a config that changed or broke since the ADD is no reason to keep an address.
    await release(request.key)
  },

  async check(request, { store }) {
    if (request.config.prevResult === undefined) throw new CniError('ERR_CONFIG', 'required prevResult missing')
    checkLeases(store, request, parseResult(request.config.prevResult, request.version))
  },

  async gc(request, { store }) {
    for (const warning of collect(store, request)) log('warn', warning)
  },

  async status(request, { store, root }) {
    const plan = planOf(request, root)
    orUnavailable(() => checkReady(store, request.config.name, plan))
  },

  keyWarnings: ipamKeyWarnings,
  stops: () => false,
}
