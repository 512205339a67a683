/** berth-sriov: its verbs. */
import { ipamKeyWarnings, ipamType } from '../../ipam/index.ts'
import { CniError } from '../../shared/cni/errors.ts'
import type { Request } from '../../shared/cni/request.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'
import { log } from '../../shared/log.ts'
import { messageOf } from '../../shared/message.ts'
import { inUseNow, reclaim } from '../../vf/index.ts'
import { checkAddressesReady, collectFor, isForeign } from '../addresses.ts'
import type { Deps, Plugin } from '../deps.ts'
import { add } from './add.ts'
import { check } from './check.ts'
import { type SriovConfig, sriovConfig, sriovKeyWarnings } from './config.ts'
import { del } from './del.ts'
import { candidates, describeDevice, refuseOn } from './device.ts'
import { holdingsIn } from './take.ts'

/** Whether an ADD would find a device. Throws ERR_LIMITED when what it would be taken from is not there, and ERR_UNAVAILABLE when all are taken. */
async function checkDevices(host: NetlinkSocket, config: SriovConfig, deps: Deps): Promise<void> {
  const { pf, address, metadataFolder: folder } = config
  const limited = (error: unknown): never => {
    throw new CniError('ERR_LIMITED', messageOf(error), { cause: error })
  }
  const holdings = holdingsIn(deps)
  if (address !== undefined) {
    if (holdings.find(address) !== undefined) return
    refuseOn(host, config, await describeDevice(host, address).catch(limited))
    return
  }
  // A device plugin says which, and only to an ADD.
  if (pf === undefined) return
  const isInUse = inUseNow()
  const { damaged } = holdings.list()
  const isKept = (one: string): boolean => {
    if (damaged.some((path) => path.includes(one))) return true
    const holding = holdings.find(one)
    return holding !== undefined && isInUse(holding)
  }
  let isTaken = false
  try {
    for await (const one of candidates(host, pf, holdings, { folder, root: deps.root })) {
      if (isKept(one)) {
        isTaken = true
        continue
      }
      const { pf: parent } = await describeDevice(host, one)
      if (parent?.link.up !== false) return
      throw new CniError('ERR_CONFIG', `Cannot use pf "${parent.link.name}": it is down`)
    }
  } catch (error) {
    limited(error)
  }
  const why = isTaken ? 'all of its VFs are held' : 'none of its VFs has an interface that the node does not use itself'
  throw new CniError('ERR_UNAVAILABLE', `Cannot attach to pf ${JSON.stringify(pf.text)}: ${why}`)
}

/** Gives back the VFs of attachments that the runtime no longer knows, and whose pod is gone: the list alone is no proof. */
async function collectVfs({ config, key }: Request, deps: Deps): Promise<void> {
  const valid = config['cni.dev/valid-attachments']
  // Without the list nothing is known about validity (SPEC section 2, GC).
  if (valid === undefined) return
  const holdings = holdingsIn(deps)
  const isInUse = inUseNow()
  for (const holding of holdings.list().holdings) {
    const isValid = valid.some((one) => one.containerID === holding.containerId && one.ifname === holding.ifName)
    if (holding.network !== key.network || isValid || isInUse(holding)) continue
    try {
      await reclaim(holdings, holding, deps.hold)
    } catch (error) {
      log('warn', `GC cannot give back "${holding.address}": ${messageOf(error)}`)
    }
  }
}

export const sriovPlugin: Plugin = {
  add,
  del,
  check,

  async gc(request, deps) {
    await collectVfs(request, deps)
    await collectFor(request, deps)
  },

  async status(request, deps) {
    using host = deps.openHost()
    await checkDevices(host, sriovConfig(request), deps)
    await checkAddressesReady(request, deps)
  },

  keyWarnings: (request) => [
    ...sriovKeyWarnings(request),
    ...(request.config.ipam?.type === ipamType ? ipamKeyWarnings(request) : []),
  ],
  stops: isForeign,
}
