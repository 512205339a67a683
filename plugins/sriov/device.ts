/** Which device an ADD is about, and what can be done with it. */
import { CniError } from '../../shared/cni/errors.ts'
import type { Link } from '../../shared/host/links.ts'
import { findNetdev, type Netdev } from '../../shared/host/netdevs.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'
import { nodeNetns } from '../../shared/host/netns.ts'
import {
  isUserSpaceDriver,
  netdevNames,
  type PciDevice,
  pciAddressOf,
  readPciDevice,
  virtualFunctions,
} from '../../shared/host/pci.ts'
import { attributeKeys, namesOf, type VfOfPf } from '../../shared/host/vf-attributes.ts'
import { findPfLink, type Holding, type Holdings } from '../../vf/index.ts'
import { findOpenstackLink, isOpenstackName, type MetadataPlace, openstackPort } from '../openstack/port.ts'
import type { SriovConfig } from './config.ts'
import { linkUses, ownUses } from './own-use.ts'
import { type PfSelector, resolvePf } from './pf.ts'

export interface Device {
  readonly address: string
  readonly driver: string | undefined
  /** Undefined: no PF can be seen, as in a guest. */
  readonly pf: { readonly address: string; readonly link: Link; readonly vf: VfOfPf } | undefined
  /** Undefined: a program in user space has the device. */
  readonly netdev: Netdev | undefined
}

function refuse(address: string, why: string): never {
  throw new CniError('ERR_CONFIG', `Cannot attach "${address}": ${why}`)
}

/** What is at the address. Throws ERR_CONFIG for nothing, and for a PF, whose VFs all pods would share. */
function readDevice(address: string): PciDevice {
  const device = readPciDevice(address) ?? refuse(address, 'the node has no PCI device of that address')
  if (device.isPf) {
    const name = device.netdevs[0] === undefined ? '' : `, the interface "${device.netdevs[0]}" of the node`
    refuse(address, `it is a PF${name}; deviceID is the address of one of its VFs`)
  }
  return device
}

function pfOf(host: NetlinkSocket, { address, physical }: PciDevice): Device['pf'] {
  if (physical === undefined) return undefined
  const link = findPfLink(host, physical.address)
  if (link === undefined) refuse(address, `its PF "${physical.address}" has no interface in the node's namespace`)
  return { address: physical.address, link, vf: { pfIndex: link.index, pfName: link.name, vf: physical.vf } }
}

async function netdevOf({ address, driver, netdevs }: PciDevice): Promise<Netdev | undefined> {
  const [name] = netdevs
  const netdev = name === undefined ? undefined : await findNetdev(nodeNetns(), { name })
  if (netdev !== undefined || isUserSpaceDriver(driver)) return netdev
  if (driver === undefined) return refuse(address, 'no driver is bound to it')
  return refuse(address, `its driver "${driver}" has no interface for it in the node's namespace`)
}

/** Describes what is at the address. Throws ERR_CONFIG that says why it cannot be attached. */
export async function describeDevice(host: NetlinkSocket, address: string): Promise<Device> {
  const device = readDevice(address)
  return { address, driver: device.driver, pf: pfOf(host, device), netdev: await netdevOf(device) }
}

/** Refuses what the device cannot be, before anything is changed. Throws ERR_CONFIG that names the value. */
export function refuseOn(host: NetlinkSocket, config: SriovConfig, { address, pf, netdev }: Device): void {
  if (pf === undefined) {
    const [asked] = namesOf(config.attributes)
    if (asked !== undefined) {
      refuse(address, `"${attributeKeys[asked]}" is for its PF to set, and no PF of it can be seen here`)
    }
  }
  // The addresses of a VF that a config names are the config's to lose; the parts of a bond are not.
  const use = netdev && (pf === undefined ? ownUses : linkUses)(host)(netdev)
  if (netdev !== undefined && use !== undefined) refuse(address, `"${netdev.name}" is the node's own: ${use}`)
  const { mtuBytes } = config
  if (mtuBytes !== undefined && pf !== undefined && mtuBytes > pf.link.mtuBytes) {
    const why = `must be 0 to ${pf.link.mtuBytes}, the MTU of PF "${pf.link.name}"`
    throw new CniError('ERR_CONFIG', `Cannot use mtu ${mtuBytes}: ${why}`)
  }
}

/** The NIC that the instance has in an OpenStack network. In a pod it is found by its holding: the MAC may be another one there. */
function networkNic(host: NetlinkSocket, name: string, held: readonly Holding[], place: MetadataPlace): string {
  const refuse = (why: string): never => {
    throw new CniError('ERR_CONFIG', `Cannot attach to pf ${JSON.stringify(name)}: ${why}`)
  }
  const { mac, vlan } = openstackPort(name, place)
  if (vlan !== 0) return refuse(`its port is VLAN ${vlan} of a link, and a VF of that link is in none`)
  const holding = held.find(({ netdev }) => netdev?.mac === mac)
  if (holding !== undefined) return holding.address
  const { link } = findOpenstackLink(host, name, place)
  return pciAddressOf(link.name) ?? refuse(`its link "${link.name}" is no PCI device`)
}

/** The NIC that had the name on the node, and has another one in a pod; undefined while the node has one of the name. */
const nicInPod = (name: string, held: readonly Holding[]): string | undefined =>
  name === '' || pciAddressOf(name) !== undefined
    ? undefined
    : held.find(({ netdev, pf }) => netdev?.name === name && pf === undefined)?.address

/** The devices that a selector leaves a choice of, lowest first: the VFs of a PF, or a NIC that is none. */
function devicesOf(selector: PfSelector): string[] {
  return resolvePf(selector).flatMap((address) => {
    if (readPciDevice(address)?.isPf === false) return [address]
    return virtualFunctions(address).map((one) => one.address)
  })
}

/**
 * The devices that may be taken: with an interface of the node that it does not use itself. Those that somebody holds come last: their pod
 * may be gone.
 */
export async function* candidates(
  host: NetlinkSocket,
  selector: PfSelector,
  holdings: Holdings,
  place: MetadataPlace,
): AsyncGenerator<string, void> {
  const all = holdings.list().holdings
  const held = new Set(all.map(({ address }) => address))
  const { name: wanted } = selector
  const named = isOpenstackName(wanted) ? networkNic(host, wanted, all, place) : nicInPod(wanted, all)
  const devices = devicesOf(named === undefined ? selector : { ...selector, name: '', address: named })
  if (devices.length === 0) {
    throw new CniError('ERR_CONFIG', `Cannot attach to pf ${JSON.stringify(selector.text)}: it has no VFs`)
  }
  const ownUse = ownUses(host)
  for (const address of devices.filter((one) => !held.has(one))) {
    const [name] = netdevNames(address)
    const netdev = name === undefined ? undefined : await findNetdev(nodeNetns(), { name })
    if (netdev !== undefined && ownUse(netdev) === undefined) yield address
  }
  yield* devices.filter((one) => held.has(one))
}
