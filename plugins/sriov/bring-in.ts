/** The part of an ADD that the interface itself takes: into the pod in one message, and configured there. */
import type { Plan } from '../../ipam/index.ts'
import type { Ip } from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import type { Request } from '../../shared/cni/request.ts'
import type { Result } from '../../shared/cni/result.ts'
import { announce, awaitCarrier } from '../../shared/host/announce.ts'
import { SystemError } from '../../shared/host/libc.ts'
import { findLink, type Link } from '../../shared/host/links.ts'
import {
  changeNetdev,
  dropAlternativeNames,
  findNetdev,
  type Move,
  moveNetdev,
  type Netdev,
  type NetdevChange,
} from '../../shared/host/netdevs.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'
import { type Netns, nodeNetns } from '../../shared/host/netns.ts'
import { timed } from '../../shared/log.ts'
import type { Undo } from '../../shared/undo.ts'
import { type Holding, settleMac, whileBusy } from '../../vf/index.ts'
import type { RecordedLink } from '../addresses.ts'
import { awaitDetection, configureSlowLink, removeRules } from '../configure.ts'
import type { Deps } from '../deps.ts'
import { readAddress } from '../routing.ts'
import { settleAddresses } from '../settle.ts'
import type { SriovConfig } from './config.ts'
import type { Device } from './device.ts'
import { holdingsIn } from './take.ts'

/** Drops those of the interface's alternative names that its pod has no room for: what it will be called there, and what others are. */
async function makeNamesFree(pod: Netns, { index, alternativeNames }: Netdev, name: string): Promise<void> {
  const inTheWay: string[] = []
  for (const one of alternativeNames) {
    if (one === name || (await findNetdev(pod, { name: one })) !== undefined) inTheWay.push(one)
  }
  await dropAlternativeNames(nodeNetns(), index, inTheWay)
}

interface Arrival {
  readonly name: string
  readonly index: number
  readonly mac: string | undefined
  /** Nothing must be set before the link is up. */
  readonly up: boolean
}

/**
 * In one message; a VF that is busy has moved, and is then told the rest again where it is. An index that another interface of the pod has
 * is EBUSY as well.
 */
async function moveOver(address: string, mac: string, move: Required<Move>, change: NetdevChange): Promise<void> {
  try {
    await moveNetdev(move, change)
  } catch (error) {
    const { to, newIndex: index } = move
    const isBusy = error instanceof SystemError && ['EBUSY', 'EAGAIN'].includes(error.code)
    const found = isBusy ? await findNetdev(to, { index }) : undefined
    // Kernels before 5.14 do not say what device it is.
    const isOurs = found?.device === undefined ? found?.mac === mac : found.device === address
    if (!isOurs) throw error
    await whileBusy(() => changeNetdev(to, index, change))
  }
}

/** Gives the interface its MAC, and moves it into the pod with all else in one message. Returns it as it is there. */
async function moveIn(
  pod: NetlinkSocket,
  netns: Netns,
  { address, pf }: Device,
  netdev: Netdev,
  { name, index, mac, up }: Arrival,
  { mtuBytes, allMulticast }: SriovConfig,
): Promise<Link> {
  try {
    await makeNamesFree(netns, netdev, name)
    if (mac !== undefined && mac !== netdev.mac) {
      if (netdev.up) await changeNetdev(nodeNetns(), netdev.index, { up: false })
      await settleMac(nodeNetns(), netdev, mac, pf?.vf)
    }
    const move = { from: nodeNetns(), index: netdev.index, to: netns, newIndex: index }
    await moveOver(address, mac ?? netdev.mac, move, { name, mtuBytes, up, ...(allMulticast ? { allMulticast } : {}) })
  } catch (error) {
    if (!(error instanceof SystemError)) throw error
    throw new CniError('ERR_KERNEL', `Cannot move "${netdev.name}" to "${name}": ${error.message}`, { cause: error })
  }
  // Kernels before 5.13 choose an index themselves.
  const found = findLink(pod, { index }) ?? findLink(pod, { name })
  if (found !== undefined) return found
  throw new CniError('ERR_KERNEL', `Cannot find "${name}" in "${netns.path}": it has gone again`)
}

/** Pods are not kept waiting for a cable that is not there. */
const carrierMaxMs = 200

/** What the kernel said of the addresses nobody has heard, unless there was a carrier by then: nothing tells, and once more does no harm. */
async function announceLate(
  netns: Netns,
  link: { readonly index: number; readonly mac: string },
  ips: readonly Ip[],
): Promise<void> {
  if (ips.length === 0) return
  if (await awaitCarrier(netns, link.index, carrierMaxMs)) announce(netns, link, ips)
}

/** What an ADD has found out and claimed before the interface is touched. */
interface Prepared {
  readonly request: Request
  readonly deps: Deps
  readonly config: SriovConfig
  readonly plan: Plan
  readonly netns: Netns
  readonly pod: NetlinkSocket
  readonly device: Device
  readonly holding: Holding
  /** Undefined: the one that the interface has. */
  readonly mac: string | undefined
  readonly result: Result
  readonly link: RecordedLink
}

/** Moves the interface into the pod and configures it there; returns it, and the addresses that it has. */
export async function bringIn(
  netdev: Netdev,
  prepared: Prepared,
  undo: Undo,
): Promise<{ readonly link: Link; readonly result: Result }> {
  const { request, deps, config, plan, netns, pod, device, holding, mac, result, link: recorded } = prepared
  const { layer3 } = config
  const name = request.key.ifName
  const podIndex = holding.netdev?.podIndex ?? recorded.index
  const isPlain = result.ips.length === 0 && layer3.acceptRA === undefined
  const arrival = { name, index: podIndex, mac, up: isPlain }
  const link = await timed('move', () => moveIn(pod, netns, device, netdev, arrival, config))
  const { index } = link
  if (holding.netdev !== undefined && index !== podIndex) {
    holdingsIn(deps).replace({ ...holding, netdev: { ...holding.netdev, podIndex: index } })
  }
  const moved = { name, index, mac: link.mac }
  const settled = plan.probe
    ? await timed('probe', () => settleAddresses(request, deps, plan, netns, pod, { ...moved, recorded }, result))
    : result
  if (isPlain) return { link, result: settled }
  const ips = settled.ips.map(({ address }) => readAddress(address).ip)
  if (layer3.sourceRouting !== undefined) undo.push('rules', () => removeRules(pod, index, ips))
  const setUp = (): Promise<void> => whileBusy(() => changeNetdev(netns, index, { up: true }))
  await timed('configure', () => configureSlowLink(pod, netns, moved, settled, layer3, setUp))
  if (layer3.announce) await timed('announce', () => announceLate(netns, moved, ips))
  if (layer3.dad === 'wait') await timed('detection', () => awaitDetection(pod, moved, settled))
  return { link, result: settled }
}
