/** What the ADD of every plugin that makes or moves a link says in the same words. */
import { CniError } from '../shared/cni/errors.ts'
import { runtimeDns } from '../shared/cni/netconf.ts'
import type { Request } from '../shared/cni/request.ts'
import { type Dns, type Result, versionCarriesNoAddress } from '../shared/cni/result.ts'
import { fromIp } from './mac.ts'

interface AsksAddress {
  readonly ipamType: string | undefined
  readonly mac: string | undefined
}

/** Refuses what cannot be, before anything is looked at. */
export function refuseNoAddress({ ipamType, mac }: AsksAddress, { version }: Request): void {
  if (ipamType !== undefined) return
  if (mac === fromIp) {
    throw new CniError('ERR_CONFIG', `Cannot use mac "${fromIp}": without ipam the link has no address`)
  }
  if (!versionCarriesNoAddress(version)) {
    const why = `cniVersion "${version}" has no result without an address`
    throw new CniError('ERR_CONFIG', `Cannot attach without ipam: ${why}`)
  }
}

/** The runtime's wish goes before what the IPAM knows, and that before the network's own. */
export const dnsFor = (request: Request, { dns }: Result): Dns =>
  runtimeDns(request.raw) ?? (Object.keys(dns).length > 0 ? dns : (request.config.dns ?? {}))

export function refuseTakenName(name: string): never {
  throw new CniError('ERR_CONFLICT', `Cannot create "${name}": the namespace has an interface of that name`)
}
