/**
 * The whereabouts dialect: the `ipam` object that users of that plugin have in their NADs, into a Plan.
 *
 * Stricter than the peer where it is sloppy: a bound or an exclusion that does not parse, lies outside its range or is
 * inverted is an error that names it. Keys that only its cluster storage needs are accepted and unused.
 */

import { type Cidr, cidrNetwork, cidrSpan, formatCidr, type Ip, parseCidr, spanContains } from '../../shared/address.ts'
import { keyed, keyValue, readKeys, text, textOrNone, texts } from '../../shared/cni/keys.ts'
import { dnsSchema } from '../../shared/cni/netconf.ts'
import { routesSchema } from '../../shared/cni/result.ts'
import * as z from '../../shared/cni/schema.ts'
import { defaultSpace, type Plan, type Range } from '../plan.ts'
import {
  type Bound,
  berthKeyDocs,
  berthShape,
  finishPlan,
  gatewaysOf,
  readBound,
  readBounds,
  readExcluded,
  readFixed,
  readIp,
  readIpOf,
  readRouters,
  readSpanIn,
  refuse,
} from './common.ts'
import type { Dialect, DialectInput } from './dialect.ts'

export function whereaboutsShape() {
  const list = z._default(texts, [])
  const rangeShape = { range: textOrNone, range_start: textOrNone, range_end: textOrNone, exclude: list }
  const name = z.string(
    z.regex(/^([a-zA-Z0-9][a-zA-Z0-9_.-]{0,99})?$/, { error: 'must be letters, digits, "_", "." or "-"' }),
  )
  return {
    ...rangeShape,
    ipRanges: z._default(z.array(keyed({ ...rangeShape, gateway: textOrNone, reserved: list })), []),
    gateway: textOrNone,
    addresses: z._default(z.array(keyed({ address: text, gateway: textOrNone })), []),
    routes: z._default(routesSchema, []),
    dns: z._default(dnsSchema, {}),
    network_name: z._default(name, ''),
    enable_overlapping_ranges: z._default(z.boolean(), true),
  }
}

/** What the keys mean, for the README's table (scripts/tables.ts). */
export const whereaboutsKeyDocs: Record<keyof ReturnType<typeof whereaboutsShape>, string> = {
  range: 'subnet, `10.0.0.0/24`, or part of one, `10.0.0.5-10.0.0.9/24`; host bits are cleared',
  range_start: 'first address to give; must lie in the range',
  range_end: 'last address to give; must not come before the first',
  exclude: 'addresses and prefixes never to give, whether asked for or not; must lie in the range',
  ipRanges:
    'more ranges, each with `range`, `range_start`, `range_end`, `exclude`, `gateway`, `reserved`; an attachment gets one address of each',
  gateway: "gateway of the addresses of its family; never leased, like every route's `gw`",
  addresses: 'fixed addresses, `{address: "10.0.0.5/24", gateway}`; recorded, so two attachments cannot both have one',
  routes: '`{dst, gw, mtu, advmss, priority, table, scope}`; without `gw` through the first gateway of the family',
  dns: '`{nameservers, domain, search, options}`, passed on in the result',
  network_name: 'a space of its own: addresses are unique within a space; empty: the one shared by all networks',
  enable_overlapping_ranges:
    '`true`: an address is given once, whichever ranges it lies in; `false`: every subnet is a space of its own',
}

/** Keys of the peer that mean nothing here: there is no cluster lock, no reconciler and no log file to set up. */
const unusedKeys = [
  'configuration_path',
  'datastore',
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
]

const makeSchema = () => keyed({ ...berthShape(), ...whereaboutsShape() })
let schema: ReturnType<typeof makeSchema> | undefined

type Config = z.output<ReturnType<typeof makeSchema>>
type RangeConfig = Config['ipRanges'][number]

const isZero = (value: unknown): boolean =>
  value === undefined || value === null || value === '' || value === 0 || (Array.isArray(value) && value.length === 0)

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * The config with its gaps filled from the node's file, as the peer does it: what is absent or zero in the config is taken
 * from the file, at every depth, and lists are one value. The peer discards `enable_overlapping_ranges` of the file, so that
 * nobody can turn it off for a node; here it counts like every other key. False is a word, not a gap.
 */
function fillGaps(own: unknown, file: unknown): unknown {
  if (isZero(own)) return file ?? own
  if (!isObject(own) || !isObject(file)) return own
  const filled = Object.entries(file).map(([key, value]): [string, unknown] => [
    key,
    fillGaps(keyValue(own, key), value),
  ])
  const inFile = new Set(filled.map(([key]) => key.toLowerCase()))
  return Object.fromEntries([...Object.entries(own).filter(([key]) => !inFile.has(key.toLowerCase())), ...filled])
}

/** The subnet and the bounds that its own notation gives: `10.0.0.0/24`, or `10.0.0.5-10.0.0.9/24`. */
function readRange(key: string, value: string): { network: Cidr; start?: Bound; end?: Bound } {
  const dash = value.indexOf('-')
  const cidr =
    parseCidr(value.slice(dash + 1)) ??
    refuse(key, value, 'is not a range: write "address/prefix" or "first-last/prefix"')
  const network = cidrNetwork(cidr)
  if (dash < 0) return { network }
  const bound = (ip: Ip): Bound => ({ ip, key, value, inNotation: true })
  return { network, start: bound(readIp(key, value.slice(0, dash))), end: bound(cidr.ip) }
}

/** `gateway` is the one of the whole config, for the ranges of its family that name none. */
function buildRange(
  config: RangeConfig,
  at: string,
  gateway: Ip | undefined,
  spaceOf: (network: Cidr) => string,
): Range {
  const notation = readRange(`${at}.range`, config.range)
  const { network } = notation
  const { family } = network.ip
  return {
    text: config.range,
    space: spaceOf(network),
    network,
    span: readBounds(
      network,
      readBound(`${at}.range_start`, config.range_start) ?? notation.start,
      readBound(`${at}.range_end`, config.range_end) ?? notation.end,
    ),
    excluded: config.exclude.map((value, index) => readExcluded(network, `${at}.exclude.${index}`, value)),
    reserved: config.reserved.map((value, index) => readSpanIn([network], `${at}.reserved.${index}`, value)),
    gateway: readIpOf(family, `${at}.gateway`, config.gateway) ?? (gateway?.family === family ? gateway : undefined),
  }
}

/** The single range of old configs comes first, then the list. */
function buildRanges(config: Config, gateway: Ip | undefined, spaceOf: (network: Cidr) => string): Range[] {
  const ranges = config.ipRanges.map((range, index) => buildRange(range, `ipam.ipRanges.${index}`, gateway, spaceOf))
  if (config.range === '') {
    for (const key of ['range_start', 'range_end', 'exclude'] as const) {
      if (config[key].length > 0) refuse(`ipam.${key}`, config[key], 'has no "range" to lie in')
    }
    return ranges
  }
  // Its gateway and reserved addresses are those of the whole config, which are read elsewhere.
  return [buildRange({ ...config, gateway: '', reserved: [] }, 'ipam', gateway, spaceOf), ...ranges]
}

function plan({ ipam, defaults }: DialectInput): Plan {
  schema ??= makeSchema()
  if (defaults !== undefined && !isObject(defaults)) refuse('the defaults of the node', defaults, 'must be an object')
  // What is no object at all is no gap to fill but a mistake.
  const config = readKeys(schema, isObject(ipam) ? fillGaps(ipam, defaults) : ipam, 'ipam')
  const { routes, dns } = config
  const space = config.network_name || defaultSpace
  // The text is a part of file names: no slash.
  const spaceOf = (network: Cidr): string =>
    config.enable_overlapping_ranges ? space : `${space}:${formatCidr(network).replace('/', '-')}`
  const gateway = config.gateway === '' ? undefined : readIp('ipam.gateway', config.gateway)
  const ranges = buildRanges(config, gateway, spaceOf)
  const routers = [...readRouters(routes), ...gatewaysOf([{ gateway }])]
  // Held where the range that it lies in would hold it: otherwise that range could give it to somebody else.
  const fixedSpace = (address: Cidr): string =>
    ranges.find(({ network }) => spanContains(cidrSpan(network), address.ip))?.space ?? spaceOf(cidrNetwork(address))
  const fixed = readFixed(config.addresses, fixedSpace, [...routers, ...gatewaysOf(ranges)])
  return finishPlan(config, { rangeSets: ranges.map((range) => [range]), fixed, space, routes, dns, link: {} }, routers)
}

export const whereabouts: Dialect = {
  name: 'whereabouts',
  plan,
  keys: [...Object.keys(berthKeyDocs), ...Object.keys(whereaboutsKeyDocs), ...unusedKeys],
}
