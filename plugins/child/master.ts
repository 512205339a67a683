/** The link that others are made on: the one named, or that of the default route. */
import { CniError } from '../../shared/cni/errors.ts'
import { findLink, type Link } from '../../shared/host/links.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'
import { defaultRouteLink } from '../../shared/host/routes.ts'
import type { ChildConfig } from './config.ts'

/** Finds the master in the socket's namespace. Throws ERR_CONFIG naming it when it is not there. */
export function findMaster(socket: NetlinkSocket, { master, masterInContainer }: ChildConfig): Link {
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
