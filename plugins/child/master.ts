/** The link that others are made on: the one named or that of the default route, or of one of these the link of a VLAN. */
import { CniError } from '../../shared/cni/errors.ts'
import type { Request } from '../../shared/cni/request.ts'
import { addressesOf, type ListedAddress, listAddresses, lookUpAddresses } from '../../shared/host/addresses.ts'
import { findLink, type Link, linksOf, lookUpLink, saysNoLink } from '../../shared/host/links.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'
import { defaultRouteLink } from '../../shared/host/routes.ts'
import { log } from '../../shared/log.ts'
import { messageOf } from '../../shared/message.ts'
import { Declined, type Deps } from '../deps.ts'
import { findOpenstackLink, isOpenstackName } from '../openstack/port.ts'
import { type ChildConfig, withPlan } from './config.ts'
import { findVlan, isOwnVlan, plannedVlan, refuseOther, splitVlanName } from './vlan.ts'

export interface Master extends Link {
  /** Set of a VLAN link that Berth makes and removes: whether it is there. */
  readonly own?: 'there' | 'missing'
  /** Of one that is missing: the MAC that it is to have, where that is not its parent's. */
  readonly ownMac?: string | undefined
}

const asFound = (link: Link, { masterInContainer }: ChildConfig): Master =>
  isOwnVlan(link) && !masterInContainer ? { ...link, own: 'there' } : link

function toBeMade(socket: NetlinkSocket, parent: Link, id: number, config: ChildConfig, name?: string): Master {
  const { link, isThere } = plannedVlan(socket, parent, id, name)
  return isThere ? asFound(link, config) : { ...link, own: 'missing' }
}

const refuse = (message: string): never => {
  throw new CniError('ERR_CONFIG', message)
}

const where = ({ masterInContainer }: ChildConfig): string => (masterInContainer ? 'the container' : 'the host')

function findDefault(socket: NetlinkSocket, config: ChildConfig): Link {
  const index = defaultRouteLink(socket)
  const link = index === undefined ? undefined : findLink(socket, { index })
  return link ?? refuse(`Cannot choose a master: none is named and ${where(config)} has no default route`)
}

/** The link of VLAN `id` on a link that is there; that link itself when it is the one, or `id` is 0. */
function vlanOn(socket: NetlinkSocket, link: Link, id: number, config: ChildConfig): Master {
  if (id === 0 || link.vlanId === id) return asFound(link, config)
  const found = findVlan(socket, link, id)
  if (found !== undefined) return asFound(found, config)
  if (config.createVlan) return toBeMade(socket, link, id, config)
  const why = `${where(config)} has no link of it, and none is made without "createVlan": true`
  return refuse(`Cannot find VLAN ${id} of master "${link.name}": ${why}`)
}

/** A master by its name, which is to be that of a VLAN link where one is to be made. */
function findNamed(socket: NetlinkSocket, name: string, config: ChildConfig, known?: Link): Master {
  const { vlan = 0, createVlan } = config
  const link = known ?? findLink(socket, { name })
  const said = splitVlanName(name)
  const named = said !== undefined && (vlan === 0 || vlan === said.id) ? said : undefined
  if (link !== undefined) {
    if (createVlan && named !== undefined) {
      refuseOther(socket, link, findLink(socket, { name: named.parent }) ?? named.parent, named.id)
    } else if (createVlan && config.vlan === undefined) {
      refuse(`Cannot use createVlan: master "${name}" names no VLAN, and there is no "vlan"`)
    }
    return vlanOn(socket, link, vlan, config)
  }
  const parent = named === undefined ? undefined : findLink(socket, { name: named.parent })
  if (named === undefined || (parent === undefined && !createVlan)) {
    return refuse(`Cannot find master "${name}": ${where(config)} has no such link`)
  }
  if (parent === undefined) {
    return refuse(`Cannot create master "${name}": ${where(config)} has no link "${named.parent}" for VLAN ${named.id}`)
  }
  if (createVlan) {
    const found = findVlan(socket, parent, named.id)
    return found === undefined ? toBeMade(socket, parent, named.id, config, name) : asFound(found, config)
  }
  const why = `${where(config)} has no such link, and none is made without "createVlan": true`
  return refuse(`Cannot find master "${name}": ${why}`)
}

/** The link of an OpenStack network; its port may be in a VLAN of the link. */
function findByNetwork(socket: NetlinkSocket, name: string, config: ChildConfig): Master {
  const { link, vlan, vlanMac } = findOpenstackLink(socket, name, config.metadata)
  if (config.createVlan && config.vlan === undefined && vlan === 0) {
    refuse(`Cannot use createVlan: master "${name}" is in no VLAN of "${link.name}", and there is no "vlan"`)
  }
  if (vlan !== 0 && config.vlan !== undefined && config.vlan !== vlan) {
    refuse(`Cannot attach to vlan ${config.vlan}: master "${name}" is in VLAN ${vlan} of "${link.name}"`)
  }
  const master = vlanOn(socket, link, config.vlan ?? vlan, config)
  if (vlan === 0 || vlanMac === undefined) return master
  if (master.own === 'missing') return { ...master, mac: vlanMac, ownMac: vlanMac }
  if (master.mac !== vlanMac) {
    log('warn', `"${master.name}" has MAC ${master.mac}, and the port of master "${name}" is ${vlanMac}`)
  }
  return master
}

/**
 * Finds the master in the socket's namespace; a VLAN link that `createVlan` is to make is described as it will be. Throws ERR_CONFIG
 * naming it when it is not there, or another one than it should be.
 */
export function findMaster(socket: NetlinkSocket, config: ChildConfig): Master {
  const { master, vlan = 0 } = config
  if (master !== undefined && isOpenstackName(master)) return findByNetwork(socket, master, config)
  return master === undefined
    ? vlanOn(socket, findDefault(socket, config), vlan, config)
    : findNamed(socket, master, config)
}

/**
 * The master that a call's config asks for, where no record tells; undefined, with a warning that `what` is not looked for, when it cannot
 * be told. Throws Declined.
 */
export function masterAskedFor(
  host: NetlinkSocket,
  readConfig: (request: Request) => ChildConfig,
  request: Request,
  deps: Deps,
  what: string,
): Master | undefined {
  try {
    return findMaster(host, withPlan(readConfig(request), request, deps).config)
  } catch (error) {
    if (error instanceof Declined) throw error
    log('warn', `no ${what} is looked for: ${messageOf(error)}`)
    return undefined
  }
}

/** A master, and for hostAccess which addresses the links beside it have. */
interface LookedUp {
  readonly master: Master
  readonly addresses: readonly ListedAddress[]
}

/** As findMaster, for an ADD: what hostAccess must know of the node comes with the same send when the master is named. */
export function lookUpMaster(socket: NetlinkSocket, config: ChildConfig): LookedUp {
  const { master: name, hostAccess } = config
  if (!hostAccess) return { master: findMaster(socket, config), addresses: [] }
  if (name !== undefined && !isOpenstackName(name)) {
    try {
      const answers = socket.batch([lookUpLink({ name }), lookUpAddresses()])
      const [link] = linksOf(answers)
      return { master: findNamed(socket, name, config, link), addresses: addressesOf(answers) }
    } catch (error) {
      if (!saysNoLink(error)) throw error
    }
  }
  return { master: findMaster(socket, config), addresses: listAddresses(socket) }
}
