/** Addresses of the tests from their text; a text that is none is a mistake of the test. */
import { type Cidr, type Ip, parseCidr, parseIp } from '../../shared/address.ts'

export function ip(text: string): Ip {
  const read = parseIp(text)
  if (read === undefined) throw new TypeError(`"${text}" is no address`)
  return read
}

export function cidr(text: string): Cidr {
  const read = parseCidr(text)
  if (read === undefined) throw new TypeError(`"${text}" is no address/prefix`)
  return read
}
