/** `pf`: from which NICs a device may be taken where nobody names one. */
import { CniError } from '../../shared/cni/errors.ts'
import { keyed, readKeys, textOrNone } from '../../shared/cni/keys.ts'
import { parsePciAddress, pciAddressOf, physicalFunctions, readPciDevice } from '../../shared/host/pci.ts'

/** Every part that is not empty must fit. `text` is what messages call it. */
export interface PfSelector {
  readonly text: string
  readonly name: string
  readonly address: string
  readonly vendor: string
  readonly device: string
  readonly driver: string
}

const none = { name: '', address: '', vendor: '', device: '', driver: '' }

function readAddress(text: string): string {
  if (text === '') return ''
  const address = parsePciAddress(text)
  if (address !== undefined) return address
  throw new CniError(
    'ERR_CONFIG',
    `Cannot use pf.address ${JSON.stringify(text)}: write a PCI address as "0000:03:00.0"`,
  )
}

/** Reads a name or a PCI address, or an object of both and more. Throws ERR_CONFIG that names the value. */
export function readPfSelector(value: unknown): PfSelector {
  if (typeof value === 'string') {
    const address = parsePciAddress(value)
    return address === undefined ? { ...none, text: value, name: value } : { ...none, text: address, address }
  }
  const shape = { name: textOrNone, address: textOrNone, vendor: textOrNone, device: textOrNone, driver: textOrNone }
  const keys = readKeys(keyed(shape), value, 'pf')
  if (Object.values(keys).every((text) => text === '')) {
    const why = 'give a name, a PCI address, or an object of name, address, vendor, device or driver'
    throw new CniError('ERR_CONFIG', `Cannot use pf ${JSON.stringify(value)}: ${why}`)
  }
  const digits = (text: string): string => text.toLowerCase().replace(/^0x/, '')
  return {
    ...keys,
    text: JSON.stringify(value),
    address: readAddress(keys.address),
    vendor: digits(keys.vendor),
    device: digits(keys.device),
  }
}

/** The PCI addresses of the NICs that a selector means, of which each has VFs, or is itself what to attach. */
export function resolvePf(selector: PfSelector): string[] {
  const { text, name, address, vendor, device, driver } = selector
  const named = name === '' ? '' : (pciAddressOf(name) ?? '')
  if (name !== '' && named === '') {
    throw new CniError('ERR_CONFIG', `Cannot find pf ${JSON.stringify(text)}: the node has no such NIC`)
  }
  const exact = [named, address].filter((one) => one !== '')
  const candidates = exact.length > 0 ? exact.flatMap((one) => readPciDevice(one) ?? []) : physicalFunctions()
  const fits = (wanted: string, found: string | undefined): boolean => wanted === '' || wanted === found
  const found = candidates.filter(
    (one) =>
      exact.every((wanted) => wanted === one.address) &&
      fits(vendor, one.vendor) &&
      fits(device, one.device) &&
      fits(driver, one.driver),
  )
  if (found.length > 0) return [...new Set(found.map((one) => one.address))]
  throw new CniError('ERR_CONFIG', `Cannot find pf ${JSON.stringify(text)}: the node has no such NIC`)
}
