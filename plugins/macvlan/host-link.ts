/**
 * The node's own link on a master: made for the first attachment with host access and removed with the last one. What the link
 * was told of pods' addresses says who uses it. It is changed under one lock a master, and never across an await: a last DEL
 * cannot remove it under a first ADD.
 */
import type { Family, Ip } from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import type { ListedAddress } from '../../shared/host/addresses.ts'
import { SystemError } from '../../shared/host/libc.ts'
import { findLink, type Link, setLinkUp } from '../../shared/host/links.ts'
import { listNeighbours, type Neighbour, removeNeighbour } from '../../shared/host/neighbours.ts'
import type { NetlinkSocket, Step } from '../../shared/host/netlink.ts'
import { nodeNetns } from '../../shared/host/netns.ts'
import { createMacvlan } from '../../shared/host/new-links.ts'
import { defaultRouteLink, removeOwnRoute } from '../../shared/host/routes.ts'
import { setNetSysctl } from '../../shared/host/sysctl.ts'
import { nodeKey } from '../child/node-key.ts'
import type { Deps } from '../deps.ts'
import { hostLinkIndex, hostLinkMac, hostLinkName } from './access.ts'

/** What calls hold while they change a host link. */
export const hostLinkKey = (deps: Deps, masterIndex: number): AttachmentKey => nodeKey(deps, hostLinkName(masterIndex))

/** The node's link on a master; undefined when there is none, or another link has its index. */
export function findHostLink(host: NetlinkSocket, masterIndex: number): Link | undefined {
  const link = findLink(host, { index: hostLinkIndex(masterIndex) })
  return link?.kind === 'macvlan' && link.parentIndex === masterIndex ? link : undefined
}

function createHostLink(host: NetlinkSocket, master: Link): void {
  const name = hostLinkName(master.index)
  const rest = { mtuBytes: undefined, broadcastQueueLength: undefined, netns: undefined }
  const spec = {
    name,
    index: hostLinkIndex(master.index),
    parentIndex: master.index,
    mode: 'bridge',
    mac: hostLinkMac(master.mac),
    ...rest,
  } as const
  try {
    createMacvlan(host, spec)
  } catch (error) {
    if (!(error instanceof SystemError) || error.code !== 'EEXIST') throw error
    const why = `the node has another link of that name, or with index ${spec.index}`
    throw new CniError('ERR_CONFLICT', `Cannot create "${name}" for hostAccess: ${why}`, { cause: error })
  }
}

/**
 * Which of the node's addresses pods are told of: the master's or, where it has none of a family, those of the default route's
 * link. Throws ERR_CONFIG when there are none at all.
 */
export function nodeAddresses(
  host: NetlinkSocket,
  master: Link,
  listed: readonly ListedAddress[],
  families: readonly Family[],
): Ip[] {
  const of = (index: number | undefined, family: Family): Ip[] =>
    listed
      .filter(({ ip, linkIndex, lasting }) => lasting && linkIndex === index && ip.family === family)
      .map(({ ip }) => ip)
  const without = families.filter((family) => of(master.index, family).length === 0)
  const other = without.length > 0 ? defaultRouteLink(host) : undefined
  const found = families.flatMap((family) => of(without.includes(family) ? other : master.index, family))
  if (found.length > 0) return found
  const why = "neither it nor the default route's link has an address of the pod's families"
  throw new CniError('ERR_CONFIG', `Cannot use hostAccess with master "${master.name}": ${why}`)
}

/** Makes the host link where it is missing, and sets up one that is down. Throws ERR_CONFLICT when another link has its name. */
function ensureHostLink(host: NetlinkSocket, master: Link): void {
  const name = hostLinkName(master.index)
  if (findHostLink(host, master.index) === undefined) createHostLink(host, master)
  // The wire reaches this link as well, and there only the master shall answer for the node's addresses.
  setNetSysctl(`ipv4/conf/${name}/arp_filter`, '1')
  // 1: no address made by the kernel, not even a link-local one.
  setNetSysctl(`ipv6/conf/${name}/addr_gen_mode`, '1')
  setNetSysctl(`ipv6/conf/${name}/accept_ra`, '0')
  setNetSysctl(`ipv6/conf/${name}/disable_ipv6`, '0')
  host.batch([setLinkUp(hostLinkIndex(master.index))])
}

/** What the kernel says of a neighbour of a link that is not there, and of a route through one that is not there or down. */
const notReady = ['ENODEV', 'ENETDOWN']

/** Tells the host link, which is made or set up when the kernel says that it must be. The lock is held. Throws SystemError and ERR_CONFLICT. */
export function tellHostLink(host: NetlinkSocket, master: Link, steps: readonly Step[]): void {
  try {
    host.batch(steps)
  } catch (error) {
    if (!(error instanceof SystemError) || !notReady.includes(error.code)) throw error
    ensureHostLink(host, master)
    host.batch(steps)
  }
}

/** Removes what the host link was told and is over, and the link with the last of it. The lock is held. */
export async function withdraw(
  host: NetlinkSocket,
  masterIndex: number,
  isOver: (neighbour: Neighbour) => boolean,
  deps: Deps,
): Promise<void> {
  const index = hostLinkIndex(masterIndex)
  const neighbours = listNeighbours(host, index)
  const over = neighbours.filter(isOver)
  if (over.length < neighbours.length) {
    // Neighbours last: who goes on after a kill finds the routes by them.
    host.batch(over.flatMap(({ ip }) => [removeOwnRoute(index, ip), removeNeighbour(index, ip)]))
  } else if (findHostLink(host, masterIndex) !== undefined) await deps.deleteLink(nodeNetns(), host, index)
}
