/** Which MAC a link shall have: the one asked for, or one made of its address. */
import type { Ip } from '../shared/address.ts'
import { ipBytes } from '../shared/address.ts'
import { CniError } from '../shared/cni/errors.ts'
import type { Request } from '../shared/cni/request.ts'
import type { Result } from '../shared/cni/result.ts'
import { formatMac } from '../shared/host/links.ts'
import { readAddress } from './routing.ts'

/** The value of `mac` that stands for one made of the first address. */
export const fromIp = 'fromIP'
/** The three ways that the reference plugins read: 02:00:00:00:00:01, 02-00-00-00-00-01 and 0200.0000.0001. */
const macText = /^[0-9a-f]{2}(?:(?::[0-9a-f]{2}){5}|(?:-[0-9a-f]{2}){5})$|^[0-9a-f]{4}(?:\.[0-9a-f]{4}){2}$/

/**
 * The MAC asked for, from the most specific place: runtimeConfig, CNI_ARGS, args.cni, the config's own key. Lower case, or
 * `fromIP`; undefined when nobody asks. Throws ERR_CONFIG that names it.
 */
export function wantedMac({ config, args }: Request, own: string): string | undefined {
  const mac = [config.runtimeConfig?.mac, args.MAC, config.args?.cni?.mac, own].find(
    (text) => text !== undefined && text !== '',
  )
  if (mac === undefined || mac === fromIp) return mac
  const refuse = (why: string): never => {
    throw new CniError('ERR_CONFIG', `Cannot use mac ${JSON.stringify(mac)}: ${why}`)
  }
  const lower = mac.toLowerCase()
  if (!macText.test(lower)) refuse(`write six bytes as "02:00:00:00:00:01", or "${fromIp}"`)
  const bytes = lower.match(/[0-9a-f]{2}/g) ?? []
  if ((Number.parseInt(lower.slice(0, 2), 16) & 1) === 1) refuse('it is a multicast address')
  if (bytes.every((byte) => byte === '00')) refuse('it is all zeros')
  return bytes.join(':')
}

/**
 * 0a:58 and the four bytes of an IPv4 address, as other CNI plugins make it; 0a:59 and the last four of an IPv6 one. Whoever knows
 * a pod's address knows its MAC before the pod exists.
 */
export function macOfIp(ip: Ip): string {
  return formatMac(Uint8Array.of(0x0a, ip.family === 4 ? 0x58 : 0x59, ...ipBytes(ip).subarray(-4)))
}

/** Of the first IPv4 address, or the first one where there is none. Throws ERR_CONFIG when there is no address. */
export function macOfResult({ ips }: Result): string {
  const addresses = ips.map(({ address }) => readAddress(address).ip)
  const first = addresses.find(({ family }) => family === 4) ?? addresses[0]
  if (first === undefined) throw new CniError('ERR_CONFIG', `Cannot use mac "${fromIp}": the link has no address`)
  return macOfIp(first)
}
