/** ADD: choose -> claim -> take -> tell the PF -> move -> configure -> result. Every step that changes something pushes its undo. */
import type { Request } from '../../shared/cni/request.ts'
import type { Result, ResultInterface } from '../../shared/cni/result.ts'
import { findLink } from '../../shared/host/links.ts'
import { NetlinkSocket } from '../../shared/host/netlink.ts'
import { insideNetns, type Netns, openNetns } from '../../shared/host/netns.ts'
import { randomLinkIndex } from '../../shared/host/random.ts'
import { differingFrom, namesOf, type VfAttributes } from '../../shared/host/vf-attributes.ts'
import { log, timed } from '../../shared/log.ts'
import { Undo } from '../../shared/undo.ts'
import { giveBack, type Holding, setAttributes } from '../../vf/index.ts'
import { claimFor } from '../addresses.ts'
import { refuseNoAddress, refuseTakenName, resultOf } from '../answer.ts'
import type { Deps } from '../deps.ts'
import { fromIp, macOfResult } from '../mac.ts'
import { findRecord } from '../recorded.ts'
import { bringIn } from './bring-in.ts'
import { type SriovConfig, sriovConfig, withPlan } from './config.ts'
import { type Device, describeDevice } from './device.ts'
import { hasDeviceInfo, writeDeviceInfo } from './device-info.ts'
import { chooseDevice, deviceInfoPath, holdingOf, holdingsIn, readAttributes } from './take.ts'

const interfaceOf = (
  { key, netnsPath }: Request,
  { address }: Device,
  { mac, mtuBytes }: { readonly mac: string | undefined; readonly mtuBytes: number | undefined },
): ResultInterface => ({
  name: key.ifName,
  ...(mac === undefined ? {} : { mac }),
  ...(mtuBytes === undefined ? {} : { mtu: mtuBytes }),
  sandbox: netnsPath,
  pciID: address,
})

const zeroMac = '00:00:00:00:00:00'

/** What the PF is told that it does not have already. */
function changesOf(before: VfAttributes, { attributes }: SriovConfig, { pf }: Device, mac?: string): VfAttributes {
  return pf === undefined ? {} : differingFrom(before, { ...attributes, mac })
}

interface Wish {
  readonly netns: Netns
  readonly podIndex: number
  readonly mac: string | undefined
}

interface Taken {
  readonly device: Device
  readonly changes: VfAttributes
  readonly holding: Holding
}

/** What the PF is to be told of the device, and what is written down before. */
async function planOf(
  device: Device,
  config: SriovConfig,
  request: Request,
  deps: Deps,
  { mac, ...wish }: Wish,
): Promise<Taken> {
  const path = deviceInfoPath(request)
  const deviceInfo = path === undefined || hasDeviceInfo(path, deps.root) ? undefined : path
  const isSet = mac !== undefined || namesOf(config.attributes).length > 0
  const before = isSet || device.netdev === undefined ? await readAttributes(device, isSet) : {}
  const changes = changesOf(before, config, device, mac)
  // To get its MAC, the VF may be trusted for a moment (vf/mac.ts): a kill then must not leave it so.
  const isRisky = mac !== undefined && device.netdev !== undefined && before.trust === false
  const set = isRisky ? { trust: false, ...changes } : changes
  return { device, changes, holding: holdingOf(request, device, { ...wish, before, set, deviceInfo }) }
}

/** Chooses a device and makes it this attachment's, durably; of two calls that choose the same one wins, and the other chooses again. */
async function take(
  host: NetlinkSocket,
  config: SriovConfig,
  request: Request,
  deps: Deps,
  first: Device,
  wish: Wish,
): Promise<Taken> {
  const holdings = holdingsIn(deps)
  for (let device = first; ; device = await chooseDevice(host, config, request, deps, wish.netns)) {
    const planned = await planOf(device, config, request, deps, wish)
    if (!(await holdings.create(planned.holding))) continue
    try {
      // While it was looked at, somebody may have had it: from here on it stays as it is.
      const now = await planOf(await describeDevice(host, device.address), config, request, deps, wish)
      const holding = { ...now.holding, heldSince: planned.holding.heldSince }
      if (JSON.stringify(holding) !== JSON.stringify(planned.holding)) holdings.replace(holding)
      return { ...now, holding }
    } catch (error) {
      holdings.remove(planned.holding)
      throw error
    }
  }
}

/** What a config asks of an interface that the device does not have. */
function warnOfIgnored({ mtuBytes, allMulticast }: SriovConfig, { address, driver }: Device): void {
  const ignored = [...(mtuBytes === undefined ? [] : ['mtu']), ...(allMulticast ? ['allmulti'] : [])]
  for (const key of ignored)
    log('warn', `"${key}" is ignored: with the driver "${driver}" "${address}" has no interface`)
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
  const first = await timed('choose', () => chooseDevice(host, config, request, deps, netns))
  const podIndex = findRecord(request, deps)?.link?.index ?? randomLinkIndex()

  return await Undo.guard(async (undo) => {
    const { result, link, durable } = await timed('claim', () =>
      claimFor(request, deps, plan, netns, { index: podIndex }, undo),
    )
    const mac = config.mac === fromIp ? macOfResult(result) : config.mac
    const { device, changes, holding } = await timed('take', () =>
      take(host, config, request, deps, first, { netns, podIndex, mac }),
    )
    undo.push('VF', async () => {
      try {
        await giveBack(holding, deps.root)
      } catch (error) {
        // It stays held, and so do its addresses, which may be on it: DEL or a sweep goes on.
        undo.leaveRest()
        throw error
      }
      holdingsIn(deps).remove(holding)
    })
    const { pf, netdev } = device
    if (pf !== undefined) await timed('attributes', () => setAttributes(pf.vf, changes))
    const prepared = { request, deps, config, plan, netns, pod, device, holding, mac, result, link }
    if (netdev === undefined) warnOfIgnored(config, device)
    const arrived = netdev === undefined ? undefined : await bringIn(netdev, prepared, undo)
    const path = deviceInfoPath(request)
    if (path !== undefined) writeDeviceInfo(path, deps.root, device)
    await timed('disk', () => durable)
    const told = mac ?? (holding.before.mac === zeroMac ? undefined : holding.before.mac)
    const own = interfaceOf(request, device, arrived?.link ?? { mac: told, mtuBytes: undefined })
    return resultOf(request, own, result, arrived?.result ?? result)
  })
}
