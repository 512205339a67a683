/**
 * The whereabouts dialect: the `ipam` object that users of that plugin have in their NADs, into a Plan.
 *
 * Stricter than the peer where it is sloppy: a bound or an exclusion that does not parse, lies outside its range or is
 * inverted is an error that names it. Keys that only its cluster storage needs are accepted and unused.
 */
import * as z from 'zod/mini'
import {
  type Cidr,
  cidrNetwork,
  cidrSpan,
  formatCidr,
  formatIp,
  type Ip,
  parseCidr,
  parseIp,
  type Span,
  spanContains,
} from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { keyed, readKeys, text, textOrNone, texts } from '../../shared/cni/keys.ts'
import { dnsSchema } from '../../shared/cni/netconf.ts'
import { routesSchema } from '../../shared/cni/result.ts'
import { type FixedAddress, mergeSpans, type Plan, type Range, usableSpan } from '../plan.ts'

const rangeShape = {
  range: textOrNone,
  range_start: textOrNone,
  range_end: textOrNone,
  exclude: z._default(texts, []),
}

export const whereaboutsShape = {
  type: textOrNone,
  ...rangeShape,
  ipRanges: z._default(z.array(keyed(rangeShape)), []),
  gateway: textOrNone,
  addresses: z._default(z.array(keyed({ address: text, gateway: textOrNone })), []),
  routes: z._default(routesSchema, []),
  dns: z._default(dnsSchema, {}),
  network_name: z._default(
    z
      .string()
      .check(z.regex(/^([a-zA-Z0-9][a-zA-Z0-9_.-]{0,99})?$/, { error: 'must be letters, digits, "_", "." or "-"' })),
    '',
  ),
}
const schema = keyed(whereaboutsShape)

/** What the keys mean, for the README's table (scripts/tables.ts). */
export const whereaboutsKeyDocs: Record<keyof typeof whereaboutsShape, string> = {
  type: '`berth-ipam`',
  range: 'subnet, `10.0.0.0/24`, or part of one, `10.0.0.5-10.0.0.9/24`; host bits are cleared',
  range_start: 'first address to give; must lie in the range',
  range_end: 'last address to give; must not come before the first',
  exclude: 'addresses and prefixes never to give, whether asked for or not; must lie in the range',
  ipRanges:
    'more ranges, each with `range`, `range_start`, `range_end`, `exclude`; an attachment gets one address of each',
  gateway: "gateway of the addresses of its family; never leased, like every route's `gw`",
  addresses: 'fixed addresses, `{address: "10.0.0.5/24", gateway}`; recorded, so two attachments cannot both have one',
  routes: '`{dst, gw, mtu, advmss, priority, table, scope}`; without `gw` through the first gateway of the family',
  dns: '`{nameservers, domain, search, options}`, passed on in the result',
  network_name: 'a space of its own: addresses are unique within a space; empty: the one shared by all networks',
}
type RangeConfig = z.output<ReturnType<typeof keyed<typeof rangeShape>>>

/** Keys of the peer that mean nothing here: there is no cluster lock, no reconciler and no log file to set up. */
export const whereaboutsUnusedKeys = [
  'configuration_path',
  'datastore',
  'enable_overlapping_ranges',
  'etcd_ca_cert_file',
  'etcd_cert_file',
  'etcd_host',
  'etcd_key_file',
  'etcd_password',
  'etcd_username',
  'kubernetes',
  'leader_lease_duration',
  'leader_renew_deadline',
  'leader_retry_period',
  'log_file',
  'log_level',
  'node_slice_size',
  'reconciler_cron_expression',
  'sleep_for_race',
] as const

const refuse = (key: string, value: string, why: string): never => {
  throw new CniError('ERR_CONFIG', `Cannot read "ipam.${key}": ${JSON.stringify(value)}: ${why}`)
}

const readIp = (key: string, value: string): Ip => parseIp(value) ?? refuse(key, value, 'is not an IP address')

/** The subnet and the bounds that its own notation gives: `10.0.0.0/24`, or `10.0.0.5-10.0.0.9/24`. */
function readRange(key: string, value: string): { network: Cidr; start?: Ip; end?: Ip } {
  const dash = value.indexOf('-')
  const cidr =
    parseCidr(value.slice(dash + 1)) ??
    refuse(key, value, 'is not a range: write "address/prefix" or "first-last/prefix"')
  const network = cidrNetwork(cidr)
  return dash < 0 ? { network } : { network, start: readIp(key, value.slice(0, dash)), end: cidr.ip }
}

const oneAddress = ({ family, value }: Ip): Span => ({ family, first: value, last: value })

/** An excluded address, or the whole of an excluded prefix. */
function readExclude(key: string, value: string, network: Cidr): Span {
  const ip = parseIp(value)
  const cidr = ip === undefined ? parseCidr(value) : undefined
  const span =
    ip === undefined ? cidrSpan(cidr ?? refuse(key, value, 'is neither an address nor a prefix')) : oneAddress(ip)
  const whole = cidrSpan(network)
  if (span.family !== whole.family || span.last < whole.first || span.first > whole.last) {
    refuse(key, value, `lies outside the range ${formatCidr(network)}`)
  }
  return span
}

function buildRange(config: RangeConfig, where: string, gateway: Ip | undefined, routers: readonly Ip[]): Range {
  const at = (key: string): string => where + key
  const notation = readRange(at('range'), config.range)
  const { network } = notation
  const whole = cidrSpan(network)
  const usable = usableSpan(network)
  const bound = (key: 'range_start' | 'range_end', fromNotation: Ip | undefined): bigint | undefined => {
    const written = config[key]
    const ip = written === '' ? fromNotation : readIp(at(key), written)
    if (ip === undefined || spanContains(whole, ip)) return ip?.value
    const why = `lies outside the range ${formatCidr(network)}`
    return written === ''
      ? refuse(at('range'), config.range, `"${formatIp(ip)}" ${why}`)
      : refuse(at(key), written, why)
  }
  const start = bound('range_start', notation.start) ?? usable.first
  const end = bound('range_end', notation.end) ?? usable.last
  if (start > end) {
    const [from, to] = [start, end].map((value) => formatIp({ family: whole.family, value }))
    if (config.range_start === '' && config.range_end === '') {
      refuse(at('range'), config.range, `"${to}" comes before "${from}"`)
    }
    if (config.range_end === '') refuse(at('range_start'), config.range_start, `comes after the last address "${to}"`)
    refuse(at('range_end'), config.range_end, `comes before the first address "${from}"`)
  }
  const excluded = config.exclude.map((value, index) => readExclude(at(`exclude.${index}`), value, network))
  // A pod with a router's address would answer for it; the kernel refuses the route through oneself besides.
  excluded.push(...routers.filter((ip) => spanContains(whole, ip)).map(oneAddress))
  // A bound on the network or broadcast address means "from the first" and "to the last".
  const first = start < usable.first ? usable.first : start
  const last = end > usable.last ? usable.last : end
  return {
    text: config.range,
    network,
    span: { family: whole.family, first, last },
    excluded: mergeSpans(excluded),
    gateway: gateway?.family === whole.family ? gateway : undefined,
  }
}

function buildFixed(address: string, gateway: string, index: number): FixedAddress {
  const cidr = parseCidr(address) ?? refuse(`addresses.${index}.address`, address, 'is not "address/prefix"')
  return { address: cidr, gateway: gateway === '' ? undefined : readIp(`addresses.${index}.gateway`, gateway) }
}

/** Reads the `ipam` object. Throws ERR_CONFIG that names the key, the value and what is wrong with it. */
export function whereaboutsPlan(ipam: unknown): Plan {
  const config = readKeys(schema, ipam, 'ipam')
  const gateway = config.gateway === '' ? undefined : readIp('gateway', config.gateway)
  const routers = config.routes.flatMap(({ dst, gw }, index) => {
    if (parseCidr(dst) === undefined) refuse(`routes.${index}.dst`, dst, 'is not "address/prefix"')
    return gw === undefined || gw === '' ? [] : [readIp(`routes.${index}.gw`, gw)]
  })
  const fixed = config.addresses.map(({ address, gateway: own }, index) => buildFixed(address, own, index))
  routers.push(...fixed.flatMap(({ gateway: own }) => (own === undefined ? [] : [own])))
  for (const key of ['range_start', 'range_end', 'exclude'] as const) {
    const written = config.range === '' ? String(config[key]) : ''
    if (written !== '') refuse(key, written, 'has no "range" to lie in')
  }
  // The single range of old configs comes first, then the list.
  const ranges = config.ipRanges.map((range, index) => buildRange(range, `ipRanges.${index}.`, gateway, routers))
  if (config.range !== '') ranges.unshift(buildRange(config, '', gateway, routers))
  return {
    space: config.network_name || 'default',
    ranges,
    fixed,
    routes: config.routes,
    dns: config.dns,
  }
}
