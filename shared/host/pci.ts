/**
 * PCI devices as sysfs describes them (Documentation/ABI/testing/sysfs-bus-pci): which one is a virtual function (VF), of which
 * physical function (PF), what drives it, and what its interfaces in this node's namespace are called. `sys` leads to sysfs.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { isErrno } from '../disk.ts'
import { writeSlowKernelFile } from './kernel-file.ts'

const sysfs = '/sys'

/** Drivers that give a device to a program in user space: it has no interface (DPDK). */
const userSpaceDrivers = ['vfio-pci', 'igb_uio', 'uio_pci_generic']

export const isUserSpaceDriver = (driver: string | undefined): boolean =>
  driver !== undefined && userSpaceDrivers.includes(driver)

/** Domain (four digits, more behind a VMD), bus, device, function; the domain may be left out. */
const addressText = /^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}:[01][0-9a-f]\.[0-7])$/

/** A PCI address as sysfs writes it, `0000:01:10.0`; undefined when the text is none. */
export function parsePciAddress(text: string): string | undefined {
  const [, domain = '0000', rest] = addressText.exec(text.toLowerCase()) ?? []
  return rest === undefined ? undefined : `${domain}:${rest}`
}

export interface PciDevice {
  readonly address: string
  /** Four hexadecimal digits, as sysfs and lspci have them, without 0x. */
  readonly vendor: string
  readonly device: string
  /** Undefined: none is bound. */
  readonly driver: string | undefined
  /** It can have VFs. */
  readonly isPf: boolean
  /** Of a VF whose PF can be seen: the PF's address, and which of its VFs it is. A VF in a guest has none. */
  readonly physical: { readonly address: string; readonly vf: number } | undefined
  /** What its interfaces are called in the namespace that sysfs was mounted in; of a PF the one that its VFs are set through is first. */
  readonly netdevs: readonly string[]
}

const devicesPath = (sys: string): string => `${sys}/bus/pci/devices`

/** The file's text, or undefined when there is no such file. */
function readAttribute(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    // ENOTSUP: an interface's attribute that its driver does not know.
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ENOTSUP', 'EINVAL')) return undefined
    throw error
  }
}

/** The last name that a symbolic link leads to. */
function targetName(path: string): string | undefined {
  try {
    return basename(readlinkSync(path))
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EINVAL')) return undefined
    throw error
  }
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path).sort()
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return []
    throw error
  }
}

/** What a device's interfaces are called, as PciDevice has them. */
export const netdevNames = (address: string, sys = sysfs): string[] => netdevsOf(`${devicesPath(sys)}/${address}`)

/** In switchdev mode the PF's directory has the representors of its VFs as well: the uplink's port is called p0, p1, ... */
function netdevsOf(device: string): string[] {
  const names = namesIn(`${device}/net`)
  if (names.length < 2) return names
  const isUplink = (name: string): boolean => /^p\d+$/.test(readAttribute(`${device}/net/${name}/phys_port_name`) ?? '')
  return [...names.filter(isUplink), ...names.filter((name) => !isUplink(name))]
}

interface VirtualFunction {
  readonly address: string
  /** What the PF calls it. */
  readonly vf: number
}

/** The VFs of a PF, lowest number first. */
export function virtualFunctions(pf: string, sys = sysfs): VirtualFunction[] {
  return namesIn(`${devicesPath(sys)}/${pf}`)
    .flatMap((name): VirtualFunction[] => {
      const vf = /^virtfn(\d+)$/.exec(name)?.[1]
      const address = vf === undefined ? undefined : targetName(`${devicesPath(sys)}/${pf}/${name}`)
      return address === undefined ? [] : [{ address, vf: Number(vf) }]
    })
    .sort((a, b) => a.vf - b.vf)
}

const canHaveVfs = (device: string): boolean => Number(readAttribute(`${device}/sriov_totalvfs`) ?? 0) > 0

/** What is at a PCI address; undefined when nothing is. */
export function readPciDevice(address: string, sys = sysfs): PciDevice | undefined {
  const path = `${devicesPath(sys)}/${address}`
  const [vendor, device] = [readAttribute(`${path}/vendor`), readAttribute(`${path}/device`)]
  if (vendor === undefined || device === undefined) return undefined
  const pf = targetName(`${path}/physfn`)
  const own = pf === undefined ? undefined : virtualFunctions(pf, sys).find((one) => one.address === address)
  return {
    address,
    vendor: vendor.replace(/^0x/, ''),
    device: device.replace(/^0x/, ''),
    driver: targetName(`${path}/driver`),
    isPf: canHaveVfs(path),
    physical: pf === undefined || own === undefined ? undefined : { address: pf, vf: own.vf },
    netdevs: netdevsOf(path),
  }
}

/** All devices that can have VFs. */
export function physicalFunctions(sys = sysfs): PciDevice[] {
  return namesIn(devicesPath(sys))
    .filter((address) => canHaveVfs(`${devicesPath(sys)}/${address}`))
    .flatMap((address) => readPciDevice(address, sys) ?? [])
}

/** The PCI address behind an interface of this node; undefined when it has none, as a bridge or a virtio link of it has not. */
export function pciAddressOf(netdev: string, sys = sysfs): string | undefined {
  if (netdev.includes('/') || netdev === '' || netdev.startsWith('.')) return undefined
  return parsePciAddress(targetName(`${sys}/class/net/${netdev}/device`) ?? '')
}

const driverPath = (driver: string, sys: string): string => `${sys}/bus/pci/drivers/${driver}`

/** Takes a device from its driver, and its interface from wherever that is. */
export const unbindDriver = (address: string, driver: string, sys = sysfs): Promise<void> =>
  writeSlowKernelFile(`${driverPath(driver, sys)}/unbind`, address)

/** Gives a device to a driver, which makes a new interface of it in the machine's first namespace. */
export const bindDriver = (address: string, driver: string, sys = sysfs): Promise<void> =>
  writeSlowKernelFile(`${driverPath(driver, sys)}/bind`, address)
