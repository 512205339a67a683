/** ADD: choose -> claim -> take -> tell the PF -> move -> configure -> result. Every step that changes something pushes its undo. */
import { CniError } from '../../shared/cni/errors.ts'
import type { Request } from '../../shared/cni/request.ts'
import type { Result, ResultInterface } from '../../shared/cni/result.ts'
import { SystemError } from '../../shared/host/libc.ts'
import { findLink } from '../../shared/host/links.ts'
import { changeNetdev, dropAlternativeNames, moveNetdev, type Netdev } from '../../shared/host/netdevs.ts'
import { NetlinkSocket } from '../../shared/host/netlink.ts'
import { insideNetns, type Netns, nodeNetns, openNetns } from '../../shared/host/netns.ts'
import { randomLinkIndex } from '../../shared/host/random.ts'
import { differingFrom, namesOf, type VfAttributes } from '../../shared/host/vf-attributes.ts'
import { timed } from '../../shared/log.ts'
import { Undo } from '../../shared/undo.ts'
import { giveBack, type Holding, setAttributes, settleMac } from '../../vf/index.ts'
import { claimFor, planFor } from '../addresses.ts'
import { refuseNoAddress, refuseTakenName, resultOf } from '../answer.ts'
import { awaitDetection, configureLink, removeRules } from '../configure.ts'
import type { Deps } from '../deps.ts'
import { fromIp, macOfResult } from '../mac.ts'
import { findRecord } from '../recorded.ts'
import { readAddress } from '../routing.ts'
import { settleAddresses } from '../settle.ts'
import { type SriovConfig, sriovConfig } from './config.ts'
import type { Device } from './device.ts'
import { hasDeviceInfo, writeDeviceInfo } from './device-info.ts'
import { chooseDevice, deviceInfoPath, holdingOf, holdingsIn, readAttributes } from './take.ts'

/** Drops those of the interface's alternative names that its pod has no room for: what it will be called there, and what others are. */
async function makeNamesFree(pod: NetlinkSocket, { index, alternativeNames }: Netdev, name: string): Promise<void> {
  const inTheWay = alternativeNames.filter((one) => one === name || findLink(pod, { name: one }) !== undefined)
  await dropAlternativeNames(nodeNetns(), index, inTheWay)
}

interface Arrival {
  readonly name: string
  readonly index: number
  readonly mac: string | undefined
  /** Nothing must be set before the link is up. */
  readonly up: boolean
}

/** Gives the interface its MAC, and moves it into the pod with all else in one message. Returns the index that it has there. */
async function moveIn(
  pod: NetlinkSocket,
  netns: Netns,
  { pf }: Device,
  netdev: Netdev,
  { name, index, mac, up }: Arrival,
  { mtuBytes, allMulticast }: SriovConfig,
): Promise<number> {
  try {
    await makeNamesFree(pod, netdev, name)
    if (mac !== undefined && mac !== netdev.mac) {
      if (netdev.up) await changeNetdev(nodeNetns(), netdev.index, { up: false })
      await settleMac(nodeNetns(), netdev, mac, pf?.vf)
    }
    const move = { from: nodeNetns(), index: netdev.index, to: netns, newIndex: index }
    await moveNetdev(move, { name, mtuBytes, up, ...(allMulticast ? { allMulticast } : {}) })
  } catch (error) {
    if (!(error instanceof SystemError)) throw error
    throw new CniError('ERR_KERNEL', `Cannot move "${netdev.name}" to "${name}": ${error.message}`, { cause: error })
  }
  // Kernels before 5.13 choose an index themselves.
  if (findLink(pod, { index }) !== undefined) return index
  const found = findLink(pod, { name })
  if (found !== undefined) return found.index
  throw new CniError('ERR_KERNEL', `Cannot find "${name}" in "${netns.path}": it has gone again`)
}

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
  const written = sriovConfig(request)
  const plan = planFor(request, deps)
  const config = { ...written, mtuBytes: written.mtuBytes ?? plan.link.mtuBytes }
  refuseNoAddress(config, request)
  using _held = await deps.hold(request.key)
  using netns = openNetns(request.netnsPath, request.netnsOverride, deps.root)
  using host = deps.openHost()
  using pod = insideNetns(netns, () => new NetlinkSocket())
  const name = request.key.ifName
  if (findLink(pod, { name }) !== undefined) refuseTakenName(name)
  const holdings = holdingsIn(deps)
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
    undo.push('holding', () => holdings.remove(holding))
    undo.push('VF', () => giveBack(holding, deps.root))
    if (device.pf !== undefined) {
      const { vf } = device.pf
      await timed('attributes', () => setAttributes(vf, holding.set))
    }
    let settled = result
    const { netdev } = device
    if (netdev !== undefined) {
      const isPlain = result.ips.length === 0 && config.layer3.acceptRA === undefined
      const arrival = { name, index: podIndex, mac, up: isPlain }
      const index = await timed('move', () => moveIn(pod, netns, device, netdev, arrival, config))
      if (holding.netdev !== undefined && index !== podIndex) {
        holdings.replace({ ...holding, netdev: { ...holding.netdev, podIndex: index } })
      }
      const moved = { name, index, mac: mac ?? netdev.mac }
      if (plan.probe) {
        settled = await timed('probe', () =>
          settleAddresses(request, deps, plan, netns, pod, { ...moved, recorded: link }, result),
        )
      }
      const ips = settled.ips.map(({ address }) => readAddress(address).ip)
      if (config.layer3.sourceRouting !== undefined) undo.push('rules', () => removeRules(pod, index, ips))
      if (!isPlain) await timed('configure', () => configureLink(pod, netns, moved, settled, config.layer3))
      if (config.layer3.dad === 'wait') await timed('detection', () => awaitDetection(pod, moved, settled))
    }
    const path = deviceInfoPath(request)
    if (path !== undefined) writeDeviceInfo(path, deps.root, device)
    await timed('disk', () => durable)
    const known = mac ?? netdev?.mac ?? (holding.before.mac === zeroMac ? undefined : holding.before.mac)
    return resultOf(request, interfaceOf(request, device, known, config.mtuBytes), result, settled)
  })
}
