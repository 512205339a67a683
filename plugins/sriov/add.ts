/** ADD: choose -> claim -> take -> tell the PF -> move -> configure -> result. Every step that changes something pushes its undo. */
import type { Request } from '../../shared/cni/request.ts'
import type { Result, ResultInterface } from '../../shared/cni/result.ts'
import { findLink } from '../../shared/host/links.ts'
import { NetlinkSocket } from '../../shared/host/netlink.ts'
import { insideNetns, type Netns, openNetns } from '../../shared/host/netns.ts'
import { randomLinkIndex } from '../../shared/host/random.ts'
import { differingFrom, namesOf, type VfAttributes } from '../../shared/host/vf-attributes.ts'
import { timed } from '../../shared/log.ts'
import { Undo } from '../../shared/undo.ts'
import { giveBack, type Holding, setAttributes } from '../../vf/index.ts'
import { claimFor } from '../addresses.ts'
import { refuseNoAddress, refuseTakenName, resultOf } from '../answer.ts'
import type { Deps } from '../deps.ts'
import { fromIp, macOfResult } from '../mac.ts'
import { findRecord } from '../recorded.ts'
import { bringIn } from './bring-in.ts'
import { type SriovConfig, sriovConfig, withPlan } from './config.ts'
import type { Device } from './device.ts'
import { hasDeviceInfo, writeDeviceInfo } from './device-info.ts'
import { chooseDevice, deviceInfoPath, holdingOf, holdingsIn, readAttributes } from './take.ts'

const interfaceOf = (
  { key, netnsPath }: Request,
  { address, netdev }: Device,
  mac: string | undefined,
  mtuBytes: number | undefined,
): ResultInterface => {
  const mtu = netdev === undefined ? undefined : (mtuBytes ?? netdev.mtuBytes)
  return {
    name: key.ifName,
    ...(mac === undefined ? {} : { mac }),
    ...(mtu === undefined ? {} : { mtu }),
    sandbox: netnsPath,
    pciID: address,
  }
}

const zeroMac = '00:00:00:00:00:00'

/** What the PF is told that it does not have already. */
function changesOf(before: VfAttributes, { attributes }: SriovConfig, { pf }: Device, mac?: string): VfAttributes {
  return pf === undefined ? {} : differingFrom(before, { ...attributes, mac })
}

/** Chooses a device and makes it this attachment's, durably; of two calls that choose the same one wins, and the other chooses again. */
async function take(
  host: NetlinkSocket,
  config: SriovConfig,
  request: Request,
  deps: Deps,
  first: Device,
  wish: { readonly netns: Netns; readonly podIndex: number; readonly mac: string | undefined },
): Promise<{ readonly device: Device; readonly holding: Holding }> {
  const path = deviceInfoPath(request)
  const deviceInfo = path === undefined || hasDeviceInfo(path, deps.root) ? undefined : path
  for (let device = first; ; device = await chooseDevice(host, config, request, deps)) {
    const asks = wish.mac !== undefined || namesOf(config.attributes).length > 0 || device.netdev === undefined
    const before = asks ? await readAttributes(device) : {}
    const set = changesOf(before, config, device, wish.mac)
    const holding = holdingOf(request, device, { ...wish, before, set, deviceInfo })
    if (await holdingsIn(deps).create(holding)) return { device, holding }
  }
}

export async function add(request: Request, deps: Deps): Promise<Result> {
  const { config, plan } = withPlan(sriovConfig(request), request, deps)
  refuseNoAddress(config, request)
  using _held = await deps.hold(request.key)
  using netns = openNetns(request.netnsPath, request.netnsOverride, deps.root)
  using host = deps.openHost()
  using pod = insideNetns(netns, () => new NetlinkSocket())
  const name = request.key.ifName
  if (findLink(pod, { name }) !== undefined) refuseTakenName(name)
  const first = await timed('choose', () => chooseDevice(host, config, request, deps))
  const podIndex = findRecord(request, deps)?.link?.index ?? randomLinkIndex()

  return await Undo.guard(async (undo) => {
    const { result, link, durable } = await timed('claim', () =>
      claimFor(request, deps, plan, netns, { index: podIndex }, undo),
    )
    const mac = config.mac === fromIp ? macOfResult(result) : config.mac
    const { device, holding } = await timed('take', () =>
      take(host, config, request, deps, first, { netns, podIndex, mac }),
    )
    undo.push('VF', async () => {
      // What cannot be given back stays held: DEL or a sweep goes on.
      await giveBack(holding, deps.root)
      holdingsIn(deps).remove(holding)
    })
    const { pf, netdev } = device
    if (pf !== undefined) await timed('attributes', () => setAttributes(pf.vf, holding.set))
    const prepared = { request, deps, config, plan, netns, pod, device, holding, mac, result, link }
    const settled = netdev === undefined ? result : await bringIn(netdev, prepared, undo)
    const path = deviceInfoPath(request)
    if (path !== undefined) writeDeviceInfo(path, deps.root, device)
    await timed('disk', () => durable)
    const known = mac ?? netdev?.mac ?? (holding.before.mac === zeroMac ? undefined : holding.before.mac)
    return resultOf(request, interfaceOf(request, device, known, config.mtuBytes), result, settled)
  })
}
