/**
 * VLAN links as masters: their names and indexes, and which link is the one of a VLAN.
 *
 * One that Berth makes has an index of a range of its own, made of its parent's and the VLAN's number. So it can be recorded before it
 * exists, two calls at once mean the same one, and whose it is no note can lose: it stands in the link itself.
 */
import { CniError } from '../../shared/cni/errors.ts'
import { findLink, type Link, listLinks } from '../../shared/host/links.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'

/** IEEE 802.1Q: 0 is no VLAN, 4095 is reserved. */
export const vlanIdMax = 4094
/** What Linux takes for the name of a link. */
const nameMaxBytes = 15

/** Above those that the kernel counts up, and those of pods' links (shared/host/random.ts). */
const ownIndexFloor = 2 ** 29
const vlanIdBits = 12
/** Of the parent's index as many bits as leave the sum below 2^30. */
const parentMask = 2 ** 17 - 1

const ownIndex = (parent: Link, id: number): number =>
  ownIndexFloor + (((parent.index & parentMask) << vlanIdBits) | id)

/** Whether Berth made the link, and removes it. */
export const isOwnVlan = ({ kind, index }: Link): boolean =>
  kind === 'vlan' && index >= ownIndexFloor && index < 2 * ownIndexFloor

/** What a name says that follows the custom `parent.id`; undefined when it does not. */
export function splitVlanName(name: string): { readonly parent: string; readonly id: number } | undefined {
  const [, parent, digits] = /^(.+)\.([0-9]{1,4})$/.exec(name) ?? []
  const id = Number(digits)
  return parent === undefined || id < 1 || id > vlanIdMax ? undefined : { parent, id }
}

/** The customary name, or where that is too long one made of the parent's index. Throws ERR_CONFIG when neither fits. */
function nameOf(parent: Link, id: number): string {
  const names = [`${parent.name}.${id}`, `berth${parent.index}.${id}`]
  const name = names.find((one) => Buffer.byteLength(one) <= nameMaxBytes)
  if (name !== undefined) return name
  const why = `${names.map((one) => `"${one}"`).join(' and ')} are longer than ${nameMaxBytes} bytes`
  throw new CniError('ERR_CONFIG', `Cannot name a link for VLAN ${id} of "${parent.name}": ${why}`)
}

const isVlanOf = (link: Link, parent: Link, id: number): boolean =>
  link.vlanId === id && link.parentIndex === parent.index && !link.parentElsewhere

/** The link of a VLAN, whatever it is called; undefined when there is none. */
export function findVlan(socket: NetlinkSocket, parent: Link, id: number): Link | undefined {
  const customary = findLink(socket, { name: `${parent.name}.${id}` })
  if (customary !== undefined && isVlanOf(customary, parent, id)) return customary
  return listLinks(socket).find((link) => isVlanOf(link, parent, id))
}

function describe(socket: NetlinkSocket, link: Link): string {
  if (link.kind !== 'vlan') return link.kind === '' ? 'no VLAN' : `a ${link.kind} link`
  if (link.vlanId === undefined) return 'a VLAN of another protocol than 802.1Q'
  const parent = link.parentElsewhere ? undefined : findLink(socket, { index: link.parentIndex })
  return `VLAN ${link.vlanId} of "${parent?.name ?? 'a link of another namespace'}"`
}

/** Refuses a link that has the name of a VLAN's and is not that. Throws ERR_CONFIG that says what it is. */
export function refuseOther(socket: NetlinkSocket, link: Link, parent: Link | string, id: number): void {
  const isIt = typeof parent === 'string' ? false : isVlanOf(link, parent, id)
  if (isIt) return
  const wanted = `VLAN ${id} of "${typeof parent === 'string' ? parent : parent.name}"`
  throw new CniError('ERR_CONFIG', `Cannot use "${link.name}" as ${wanted}: it is ${describe(socket, link)}`)
}

/**
 * The link that is to be made for a VLAN, as it will be; or the one that another call has made since somebody looked. Throws ERR_CONFIG
 * when it cannot be.
 */
export function plannedVlan(
  socket: NetlinkSocket,
  parent: Link,
  id: number,
  name = nameOf(parent, id),
): { readonly link: Link; readonly isThere: boolean } {
  const refuse = (why: string): never => {
    throw new CniError('ERR_CONFIG', `Cannot create "${name}" for VLAN ${id} of "${parent.name}": ${why}`)
  }
  if (Buffer.byteLength(name) > nameMaxBytes) refuse(`the name is longer than ${nameMaxBytes} bytes`)
  const other = findLink(socket, { name })
  if (other !== undefined && isVlanOf(other, parent, id)) return { link: other, isThere: true }
  if (other !== undefined) refuse(`the host has a link of that name, which is ${describe(socket, other)}`)
  if (isOwnVlan(parent)) refuse(`"${parent.name}" was made by Berth, and goes with the last attachment of its own`)
  if (!parent.up) refuse(`"${parent.name}" is down`)
  const stacked = { kind: 'vlan', parentIndex: parent.index, parentElsewhere: false, vlanId: id }
  const modes = { macvlanMode: undefined, ipvlanMode: undefined, permanentMac: undefined }
  return { link: { ...parent, ...stacked, ...modes, name, index: ownIndex(parent, id) }, isThere: false }
}
