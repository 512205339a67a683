/**
 * What the tests in the lab need besides `test/e2e/host.ts`: the VM as the node, its NIC's virtual functions, their drivers.
 *
 * The VM's own namespace is the node, for a VF comes back to that one only. There is one VM for all tests, so each leaves it as it
 * found it, or fails.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { Host, ip } from '../e2e/host.ts'

/** The NIC with virtual functions, and one without that is plugged into the same switch. Both are up. */
export const pf = 'pf0'
export const otherNic = 'nic0'
/** The VM's own namespace, for `ip -n`. */
export const node = 'lab'

const devices = '/sys/bus/pci/devices'

/** What the PF says of a VF, as `ip -json -details link` writes it. */
export interface VfAttributes {
  readonly vf: number
  /** The administrative MAC; all zeros while none is set. */
  readonly address: string
  /** One, empty while there is no VLAN. */
  readonly vlan_list: readonly { vlan?: number; qos?: number; protocol?: string }[]
  /** In Mbit/s. */
  readonly rate: { readonly max_tx: number; readonly min_tx: number }
  readonly spoofchk: boolean
  readonly link_state: string
  readonly trust: boolean
}

/** A link as `ip -json -details link` writes it, the parts that are looked at. */
interface ShownLink {
  readonly ifname: string
  readonly address: string
  readonly mtu: number
  readonly flags: readonly string[]
  readonly altnames?: readonly string[]
  readonly promiscuity: number
  readonly allmulti?: number
  readonly vfinfo_list?: readonly VfAttributes[]
}

/** All links of the node, in one call: a process costs much in the lab. */
const shownLinks = (): readonly ShownLink[] => JSON.parse(ip('-json', '-details', 'link', 'show'))

const attributesIn = (links: readonly ShownLink[]): readonly VfAttributes[] =>
  links.find(({ ifname }) => ifname === pf)?.vfinfo_list ?? []

export const vfAttributes = (): readonly VfAttributes[] => attributesIn(shownLinks())

/** The PCI address of a PF's VF. */
export const pciOf = (index: number): string => basename(readlinkSync(`/sys/class/net/${pf}/device/virtfn${index}`))

/** The driver that a device is bound to; undefined for none. */
export function driverOf(pci: string): string | undefined {
  const link = join(devices, pci, 'driver')
  return existsSync(link) ? basename(readlinkSync(link)) : undefined
}

/** The link of a device on the node; undefined while it is in a pod, or its driver makes none. */
export function linkOf(pci: string): string | undefined {
  const directory = join(devices, pci, 'net')
  return existsSync(directory) ? readdirSync(directory)[0] : undefined
}

/** All that an attachment may change of each VF, on the PF and on the VF's own link: what is to be the same again. */
function vfStates(): readonly object[] {
  const links = shownLinks()
  return attributesIn(links).map((attributes) => {
    const pci = pciOf(attributes.vf)
    const shown = links.find(({ ifname }) => ifname === linkOf(pci))
    if (shown === undefined) return { attributes, driver: driverOf(pci), link: 'not on the node' }
    const { ifname, address, mtu, flags, altnames = [], promiscuity, allmulti } = shown
    // The kernel appends: a name that was away is the last one now.
    const link = {
      ifname,
      address,
      mtu,
      isUp: flags.includes('UP'),
      altnames: altnames.toSorted(),
      promiscuity,
      allmulti,
    }
    return { attributes, driver: driverOf(pci), link }
  })
}

export const vfState = (index: number): object | undefined => vfStates()[index]

/** The VM as the node: `using host = new LabHost()`. A VF that is not as it was counts as left behind. */
export class LabHost extends Host {
  readonly #before = vfStates()

  constructor(nic: string = pf) {
    super({ name: node, nic })
  }

  override leftovers(): string[] {
    const changed = vfStates().flatMap((after, index) =>
      isDeepStrictEqual(after, this.#before[index])
        ? []
        : [`VF ${index}: ${JSON.stringify(after)} was ${JSON.stringify(this.#before[index])}`],
    )
    return [...super.leftovers(), ...changed]
  }
}

/** A link on the node for the length of a test: `using vlan = new Link('pf0.20', 'link', 'pf0', 'type', 'vlan', 'id', '20')`; it is up. */
export class Link implements Disposable {
  readonly name: string

  constructor(name: string, ...args: readonly string[]) {
    this.name = name
    ip('link', 'add', 'name', name, ...args)
    ip('link', 'set', name, 'up')
  }

  [Symbol.dispose](): void {
    ip('link', 'del', this.name)
  }
}

function bind(pci: string, driver: string): void {
  const device = join(devices, pci)
  execFileSync('modprobe', [driver])
  writeFileSync(join(device, 'driver_override'), driver)
  if (existsSync(join(device, 'driver'))) writeFileSync(join(device, 'driver', 'unbind'), pci)
  writeFileSync('/sys/bus/pci/drivers_probe', pci)
  if (driverOf(pci) !== driver) throw new Error(`Cannot bind "${pci}" to "${driver}": bound to "${driverOf(pci)}"`)
}

/** A VF with another driver for the length of a test: `using vf = new BoundVf(3)` has no link, as one that a DPDK program drives. */
export class BoundVf implements Disposable {
  readonly pci: string
  readonly #driver: string | undefined
  readonly #link: { readonly name: string; readonly mac: string } | undefined

  constructor(index: number, driver = 'vfio-pci') {
    this.pci = pciOf(index)
    this.#driver = driverOf(this.pci)
    const name = linkOf(this.pci)
    if (name !== undefined) this.#link = { name, mac: JSON.parse(ip('-json', 'link', 'show', name))[0].address }
    bind(this.pci, driver)
  }

  /** With its first driver again, whose new link gets the name and the MAC of the old one. */
  [Symbol.dispose](): void {
    if (this.#driver === undefined) return
    bind(this.pci, this.#driver)
    writeFileSync(join(devices, this.pci, 'driver_override'), '\n')
    const name = linkOf(this.pci)
    if (name === undefined || this.#link === undefined) return
    ip('link', 'set', name, 'name', this.#link.name, 'address', this.#link.mac)
  }
}
