/**
 * The node's own link on a master: made for the first attachment with host access and removed with the last one. What the link
 * was told of pods' addresses says who uses it. It is changed under one lock a master, and never across an await: a last DEL
 * cannot remove it under a first ADD.
 */
import { hostname } from 'node:os'
import type { Family, Ip } from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import { listAddresses } from '../../shared/host/addresses.ts'
import { SystemError } from '../../shared/host/libc.ts'
import { findLink, type Link, setLinkUp } from '../../shared/host/links.ts'
import { listNeighbours, type Neighbour, removeNeighbour } from '../../shared/host/neighbours.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'
import { nodeNetns } from '../../shared/host/netns.ts'
import { createMacvlan } from '../../shared/host/new-links.ts'
import { defaultRouteLink, removeOwnRoute } from '../../shared/host/routes.ts'
import { setNetSysctl } from '../../shared/host/sysctl.ts'
import type { Deps } from '../deps.ts'
import { hostLinkMac, hostLinkName } from './access.ts'

/**
 * What calls hold while they change a host link. No network's name starts with a dot, and on a share each node has its own. On one
 * node all are to hold the same, whatever a container says that the node is called.
 */
export const hostLinkKey = ({ store }: Deps, masterIndex: number): AttachmentKey => ({
  network: '.node',
  containerId: store.shared ? hostname() : 'own',
  ifName: hostLinkName(masterIndex),
})

/** The node's link on a master; undefined when there is none, or another link has its name. */
export function findHostLink(host: NetlinkSocket, masterIndex: number): Link | undefined {
  const link = findLink(host, { name: hostLinkName(masterIndex) })
  return link?.kind === 'macvlan' && link.parentIndex === masterIndex ? link : undefined
}

function createHostLink(host: NetlinkSocket, master: Link): void {
  const name = hostLinkName(master.index)
  const rest = { mtuBytes: undefined, broadcastQueueLength: undefined, netns: undefined }
  const spec = {
    name,
    index: 0,
    parentIndex: master.index,
    mode: 'bridge',
    mac: hostLinkMac(master.mac),
    ...rest,
  } as const
  try {
    createMacvlan(host, spec)
  } catch (error) {
    if (!(error instanceof SystemError) || error.code !== 'EEXIST') throw error
    const why = `the node has a link of that name which is no macvlan of "${master.name}"`
    throw new CniError('ERR_CONFLICT', `Cannot create "${name}" for hostAccess: ${why}`, { cause: error })
  }
}

/**
 * The node's own addresses of these families: the master's or, where it has none of a family, those of the default route's
 * link. Throws ERR_CONFIG when there are none at all.
 */
export function nodeAddresses(host: NetlinkSocket, master: Link, families: readonly Family[]): Ip[] {
  const listed = listAddresses(host).filter(({ lasting }) => lasting)
  const of = (index: number | undefined, family: Family): Ip[] =>
    listed.filter(({ ip, linkIndex }) => linkIndex === index && ip.family === family).map(({ ip }) => ip)
  const found = families.flatMap((family) => {
    const own = of(master.index, family)
    return own.length > 0 ? own : of(defaultRouteLink(host), family)
  })
  if (found.length > 0) return found
  const why = "neither it nor the default route's link has an address of the pod's families"
  throw new CniError('ERR_CONFIG', `Cannot use hostAccess with master "${master.name}": ${why}`)
}

/** Makes the host link where it is missing, and sets up one that a killed call left down. The lock is held. Throws ERR_CONFLICT when another link has its name. */
export function ensureHostLink(host: NetlinkSocket, master: Link): Link {
  const name = hostLinkName(master.index)
  const found = findHostLink(host, master.index)
  if (found?.up === true) return found
  if (found === undefined) createHostLink(host, master)
  const link = found ?? findHostLink(host, master.index)
  if (link === undefined) throw new CniError('ERR_KERNEL', `Cannot find "${name}" again: somebody removed it`)
  // The wire reaches this link as well, and there only the master shall answer for the node's addresses.
  setNetSysctl(`ipv4/conf/${name}/arp_filter`, '1')
  // 1: no address made by the kernel, not even a link-local one.
  setNetSysctl(`ipv6/conf/${name}/addr_gen_mode`, '1')
  setNetSysctl(`ipv6/conf/${name}/accept_ra`, '0')
  setNetSysctl(`ipv6/conf/${name}/disable_ipv6`, '0')
  host.batch([setLinkUp(link.index)])
  return link
}

/** Removes what the host link was told and is over, and the link with the last of it. The lock is held. */
export async function withdraw(
  host: NetlinkSocket,
  masterIndex: number,
  isOver: (neighbour: Neighbour) => boolean,
  deps: Deps,
): Promise<void> {
  const link = findHostLink(host, masterIndex)
  if (link === undefined) return
  const neighbours = listNeighbours(host, link.index)
  const over = neighbours.filter(isOver)
  if (over.length === neighbours.length) await deps.deleteLink(nodeNetns(), host, link.index)
  // Neighbours last: who goes on after a kill finds the routes by them.
  else host.batch(over.flatMap(({ ip }) => [removeOwnRoute(link.index, ip), removeNeighbour(link.index, ip)]))
}
