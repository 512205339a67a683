/** What the ADD of every plugin that makes or moves a link says in the same words. */
import { CniError } from '../shared/cni/errors.ts'
import { runtimeDns } from '../shared/cni/netconf.ts'
import type { Request } from '../shared/cni/request.ts'
import { type Dns, type Result, type ResultInterface, versionCarriesNoAddress } from '../shared/cni/result.ts'
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
const dnsFor = (request: Request, { dns }: Result): Dns =>
  runtimeDns(request.raw) ?? (Object.keys(dns).length > 0 ? dns : (request.config.dns ?? {}))

export function refuseTakenName(name: string): never {
  throw new CniError('ERR_CONFLICT', `Cannot create "${name}": the namespace has an interface of that name`)
}

/** What ADD answers: the link, and its addresses in the end, `settled`, of what the IPAM `granted`. */
export const resultOf = (request: Request, link: ResultInterface, granted: Result, settled: Result): Result => ({
  interfaces: [link],
  ips: settled.ips.map((ip) => ({ ...ip, interface: 0 })),
  routes: granted.routes,
  dns: dnsFor(request, granted),
})
