/**
 * The result of an ADD, in one shape inside the program, read from and rendered to every version of the
 * specification (SPEC section 5; for 0.1.0-0.4.0 the schemas of those releases).
 */

import { parseCidr } from '../address.ts'
import { CniError } from './errors.ts'
import { keyed, optionalText, readKeys, text, uint32 } from './keys.ts'
import { dnsSchema } from './netconf.ts'
import * as z from './schema.ts'
import { atLeast, type CniVersion, impliedVersion, parseVersion } from './versions.ts'

const count = z.optional(uint32)

const routeSchema = keyed({
  dst: text,
  gw: optionalText,
  mtu: count,
  advmss: count,
  priority: count,
  table: count,
  scope: z.optional(z.int(z.gte(0), z.lte(255))),
})
export const routesSchema = z.array(routeSchema)

/** The schemas of results that come in. An ADD without a foreign IPAM reads none and need not pay for them. */
function makeSchemas() {
  const interfaces = z.array(
    keyed({
      name: text,
      mac: optionalText,
      mtu: count,
      sandbox: optionalText,
      socketPath: optionalText,
      pciID: optionalText,
    }),
  )
  const ips = z.array(keyed({ address: text, gateway: optionalText, interface: count }))
  const legacyIp = keyed({ ip: text, gateway: optionalText, routes: z._default(routesSchema, []) })
  const dns = z._default(dnsSchema, {})
  return {
    version: keyed({ cniVersion: optionalText }),
    legacy: keyed({ ip4: z.optional(legacyIp), ip6: z.optional(legacyIp), dns }),
    modern: keyed({
      interfaces: z._default(interfaces, []),
      ips: z._default(ips, []),
      routes: z._default(routesSchema, []),
      dns,
    }),
  }
}
let made: ReturnType<typeof makeSchemas> | undefined

/** A route of a result; `dst` is CIDR text, mtu and advmss are bytes. */
export type Route = z.output<typeof routeSchema>
export type Dns = z.output<typeof dnsSchema>
type Modern = z.output<ReturnType<typeof makeSchemas>['modern']>
export type ResultInterface = Modern['interfaces'][number]
/** An address of a result: CIDR text; `interface` is an index into the result's interfaces. */
type ResultIp = Modern['ips'][number]

export interface Result {
  readonly interfaces: readonly ResultInterface[]
  readonly ips: readonly ResultIp[]
  readonly routes: readonly Route[]
  readonly dns: Dns
}

/** Reads a result of any version; one without cniVersion speaks that of the config it came in. */
export function parseResult(raw: unknown, configVersion: CniVersion, where = 'prevResult'): Result {
  made ??= makeSchemas()
  const named = readKeys(made.version, raw, where).cniVersion
  const version = parseVersion(named || configVersion || impliedVersion)
  if (version === undefined) {
    throw new CniError('ERR_DECODE', `could not parse ${where}: unsupported cniVersion ${JSON.stringify(named)}`)
  }
  if (atLeast(version, '0.3.0')) return readKeys(made.modern, raw, where)
  const { ip4, ip6, dns } = readKeys(made.legacy, raw, where)
  const present = [ip4, ip6].filter((ip) => ip !== undefined)
  return {
    interfaces: [],
    ips: present.map((ip) => ({ address: ip.ip, ...(ip.gateway === undefined ? {} : { gateway: ip.gateway }) })),
    routes: present.flatMap((ip) => ip.routes),
    dns,
  }
}

const isV6 = (cidr: string): boolean => parseCidr(cidr)?.ip.family === 6

function renderLegacy(result: Result): object {
  const half = (v6: boolean) => {
    const ip = result.ips.find((candidate) => isV6(candidate.address) === v6)
    if (ip === undefined) return undefined
    const routes = result.routes.filter((route) => isV6(route.dst) === v6).map(({ dst, gw }) => ({ dst, gw }))
    return { ip: ip.address, gateway: ip.gateway, routes: routes.length > 0 ? routes : undefined }
  }
  const ip4 = half(false)
  const ip6 = half(true)
  // These versions cannot say "no address", and the reference library refuses the same.
  if (ip4 === undefined && ip6 === undefined) {
    throw new CniError('ERR_CONFIG', 'cannot convert: no valid IP addresses: cniVersion must be 0.3.0 or newer here')
  }
  return { ip4, ip6, dns: result.dns }
}

/** True when a result of this version can carry more than one address of a family. */
export const versionCarriesMany = (version: CniVersion): boolean => atLeast(version, '0.3.0')

/** True when a result of this version can carry an attachment without addresses (layer 2 only). */
export const versionCarriesNoAddress = (version: CniVersion): boolean => atLeast(version, '0.3.0')

/** The result as JSON text in the caller's version: keys a version does not know are left out. */
export function renderResult(result: Result, version: CniVersion): string {
  if (!atLeast(version, '0.3.0')) return JSON.stringify({ cniVersion: version, ...renderLegacy(result) }, undefined, 4)
  const modern = atLeast(version, '1.0.0')
  const newest = atLeast(version, '1.1.0')
  const interfaces = result.interfaces.map(({ name, mac, mtu, sandbox, socketPath, pciID }) => ({
    name,
    mac,
    sandbox,
    ...(newest ? { mtu, socketPath, pciID } : {}),
  }))
  const ips = result.ips.map((ip) => ({
    ...(modern ? {} : { version: isV6(ip.address) ? '6' : '4' }),
    interface: ip.interface,
    address: ip.address,
    gateway: ip.gateway,
  }))
  const noDns = Object.keys(result.dns).length === 0
  const present = <T>(list: readonly T[]): readonly T[] | undefined => (list.length > 0 ? list : undefined)
  return JSON.stringify(
    {
      cniVersion: version,
      interfaces: present(interfaces),
      ips: present(ips),
      // The newer keys of routes stay: the reference library reads them in every version, and so does our own CHECK.
      routes: present(result.routes),
      // 0.3.0 to 0.4.0 always print it, empty or not.
      dns: modern && noDns ? undefined : result.dns,
    },
    undefined,
    4,
  )
}
