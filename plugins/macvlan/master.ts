/** The parent link of a macvlan: the one named, or that of the default route. */
import { CniError } from '../../shared/cni/errors.ts'
import { addressesOf, type ListedAddress, listAddresses, lookUpAddresses } from '../../shared/host/addresses.ts'
import { findLink, type Link, linksOf, lookUpLink, saysNoLink } from '../../shared/host/links.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'
import { defaultRouteLink } from '../../shared/host/routes.ts'
import type { MacvlanConfig } from './config.ts'

/** Finds the master in the socket's namespace. Throws ERR_CONFIG naming it when it is not there. */
export function findMaster(socket: NetlinkSocket, { master, masterInContainer }: MacvlanConfig): Link {
  const where = masterInContainer ? 'the container' : 'the host'
  if (master !== undefined) {
    const link = findLink(socket, { name: master })
    if (link === undefined)
      throw new CniError('ERR_CONFIG', `Cannot find master "${master}": ${where} has no such link`)
    return link
  }
  const index = defaultRouteLink(socket)
  const link = index === undefined ? undefined : findLink(socket, { index })
  if (link === undefined) {
    throw new CniError('ERR_CONFIG', `Cannot choose a master: none is named and ${where} has no default route`)
  }
  return link
}

/** A master, and for hostAccess which addresses the links beside it have. */
interface LookedUp {
  readonly master: Link
  readonly addresses: readonly ListedAddress[]
}

/** As findMaster, for an ADD: what it must know of the node comes with the same send when the master is named. */
export function lookUpMaster(socket: NetlinkSocket, config: MacvlanConfig): LookedUp {
  if (!config.hostAccess) return { master: findMaster(socket, config), addresses: [] }
  if (config.master !== undefined) {
    try {
      const answers = socket.batch([lookUpLink({ name: config.master }), lookUpAddresses()])
      const [master] = linksOf(answers)
      if (master !== undefined) return { master, addresses: addressesOf(answers) }
    } catch (error) {
      if (!saysNoLink(error)) throw error
    }
  }
  return { master: findMaster(socket, config), addresses: listAddresses(socket) }
}
