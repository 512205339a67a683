/**
 * The host-local dialect, into a Plan. Its texts are the peer's where it has them; unlike it, subnets of one and two
 * addresses may be used.
 */

import { cidrNetwork, familyBits, formatIp, sameIp } from '../../shared/address.ts'
import { keyed, keyValue, readKeys, text, textOrNone } from '../../shared/cni/keys.ts'
import { type Dns, routesSchema } from '../../shared/cni/result.ts'
import * as z from '../../shared/cni/schema.ts'
import { crc32 } from '../../shared/crc32.ts'
import { type Plan, type Range, usableSpan } from '../plan.ts'
import {
  berthKeyDocs,
  berthShape,
  finishPlan,
  readBound,
  readBounds,
  readCidr,
  readIpOf,
  readRouters,
  refuse,
} from './common.ts'
import type { Dialect, DialectInput } from './dialect.ts'

/** Where the peer keeps its leases when the config does not say. */
const peerDataDir = '/var/lib/cni/networks'

const setsSchema = () =>
  z.array(z.array(keyed({ subnet: text, rangeStart: textOrNone, rangeEnd: textOrNone, gateway: textOrNone })))

export const hostLocalShape = () => ({
  subnet: textOrNone,
  rangeStart: textOrNone,
  rangeEnd: textOrNone,
  gateway: textOrNone,
  ranges: z._default(setsSchema(), []),
  routes: z._default(routesSchema, []),
  resolvConf: textOrNone,
  dataDir: z._default(text, peerDataDir),
})

/** What the keys mean, for the README's table (scripts/tables.ts). */
export const hostLocalKeyDocs: Record<keyof ReturnType<typeof hostLocalShape>, string> = {
  subnet: 'the subnet of a single range, `10.0.0.0/24`, without host bits',
  rangeStart: 'first address to give; none: the first usable one',
  rangeEnd: 'last address to give; none: the last usable one',
  gateway: 'never leased; none: the first usable address of the subnet, except in one of one or two addresses',
  ranges:
    'sets of ranges, `[[{subnet, rangeStart, rangeEnd, gateway}]]`: an attachment gets one address of each set, whose ranges are tried in order; `runtimeConfig.ipRanges` go before them',
  routes: '`{dst, gw, mtu, advmss, priority, table, scope}`; without `gw` through the first gateway of the family',
  resolvConf: 'a file on the node whose `nameserver`, `domain`, `search` and `options` lines go into the result',
  dataDir: 'nothing is kept there: networks of one name and different folders do not know of each other',
}

const makeSchema = () => keyed({ ...berthShape(), ...hostLocalShape() })
let schema: ReturnType<typeof makeSchema> | undefined
const makeRuntimeSchema = () => keyed({ ipRanges: setsSchema() })
let runtimeSchema: ReturnType<typeof makeRuntimeSchema> | undefined

type Config = z.output<ReturnType<typeof makeSchema>>
type RangeConfig = Config['ranges'][number][number]

/** A range and where it is written, `ipam.ranges.0.1`. */
interface Placed {
  readonly range: Range
  readonly at: string
}

function buildRange(config: RangeConfig, at: string, space: string): Placed {
  const cidr = readCidr(`${at}.subnet`, config.subnet)
  const network = cidrNetwork(cidr)
  if (!sameIp(cidr.ip, network.ip)) {
    refuse(`${at}.subnet`, config.subnet, `has host bits set; the network address is ${formatIp(network.ip)}`)
  }
  const { family } = network.ip
  const usable = usableSpan(network)
  // Where only one or two addresses exist, reserving one for a router nobody named would leave one or none.
  const roomy = familyBits(family) - network.prefix > 1
  const gateway =
    readIpOf(family, `${at}.gateway`, config.gateway) ?? (roomy ? { family, value: usable.first } : undefined)
  const span = readBounds(
    network,
    readBound(`${at}.rangeStart`, config.rangeStart),
    readBound(`${at}.rangeEnd`, config.rangeEnd),
  )
  return { range: { text: config.subnet, space, network, span, excluded: [], reserved: [], gateway }, at }
}

function buildSet(ranges: readonly RangeConfig[], at: string, space: string): Placed[] {
  if (ranges.length === 0) refuse(at, ranges, 'empty range set')
  const set = ranges.map((range, index) => buildRange(range, `${at}.${index}`, space))
  const odd = set.find(({ range }) => range.network.ip.family !== set[0]?.range.network.ip.family)
  if (odd !== undefined) {
    refuse(`${odd.at}.subnet`, odd.range.text, `mixed address families: "${set[0]?.range.text}" is in the same set`)
  }
  return set
}

/** The old single form, as a set of its own; undefined when it is not there. */
function singleSet(config: Config, space: string): Placed[] | undefined {
  if (config.subnet !== '') return [buildRange(config, 'ipam', space)]
  for (const key of ['rangeStart', 'rangeEnd', 'gateway'] as const) {
    if (config[key] !== '') refuse(`ipam.${key}`, config[key], 'has no "subnet" to lie in')
  }
  return undefined
}

/** Within a set and among sets: an address of two ranges would belong to neither. */
function refuseOverlaps(ranges: readonly Placed[]): void {
  for (const [index, { range, at }] of ranges.entries()) {
    const other = ranges
      .slice(0, index)
      .find(
        ({ range: { span } }) =>
          span.family === range.span.family && span.first <= range.span.last && range.span.first <= span.last,
      )
    if (other === undefined) continue
    refuse(`${at}.subnet`, range.text, `${boundsText(range)} overlaps ${boundsText(other.range)} of "${other.at}"`)
  }
}

const boundsText = ({ span: { family, first, last } }: Range): string =>
  [first, last].map((value) => formatIp({ family, value })).join('-')

/** The peer has a folder for each network: two networks of one name meet only in one folder. */
export const hostLocalSpace = (network: string, dataDir: string): string =>
  dataDir === '' || dataDir === peerDataDir ? network : `${network}~${crc32(dataDir)}`

function readRuntimeSets(runtimeRanges: unknown): RangeConfig[][] {
  if (runtimeRanges === undefined || runtimeRanges === null) return []
  runtimeSchema ??= makeRuntimeSchema()
  return readKeys(runtimeSchema, { ipRanges: runtimeRanges }, 'runtimeConfig').ipRanges
}

function plan({ ipam, network, runtimeRanges }: DialectInput): Plan {
  schema ??= makeSchema()
  const config = readKeys(schema, ipam, 'ipam')
  const space = hostLocalSpace(network, config.dataDir)
  const single = singleSet(config, space)
  const sets = [
    ...readRuntimeSets(runtimeRanges).map((set, index) => buildSet(set, `runtimeConfig.ipRanges.${index}`, space)),
    ...(single === undefined ? [] : [single]),
    ...config.ranges.map((set, index) => buildSet(set, `ipam.ranges.${index}`, space)),
  ]
  if (sets.length === 0) refuse('ipam.ranges', config.ranges, 'no IP ranges specified')
  refuseOverlaps(sets.flat())
  const { routes } = config
  const rangeSets = sets.map((set) => set.map(({ range }) => range))
  return finishPlan(config, { rangeSets, fixed: [], space, routes, dns: {}, link: {} }, readRouters(routes))
}

export const hostLocal: Dialect = {
  name: 'host-local',
  plan,
  keys: [...Object.keys(berthKeyDocs), ...Object.keys(hostLocalKeyDocs)],
}

/** The file that `ipam.resolvConf` names; undefined when there is none. Reading it is the caller's: a dialect is pure. */
export function resolvConfPath(ipam: unknown): string | undefined {
  const path = keyValue(ipam, 'resolvConf')
  return typeof path === 'string' && path !== '' ? path : undefined
}

/** The lines of a resolv.conf (resolv.conf(5)); other keywords and keywords without a value are left out, as by the peer. */
export function parseResolvConf(file: string): Dns {
  const lines = file.split('\n').map((line) =>
    line
      .replace(/(^|\s)[#;].*/, '')
      .trim()
      .split(/\s+/),
  )
  const valuesOf = (keyword: string): string[][] =>
    lines.filter(([first, value]) => first === keyword && value !== undefined).map(([, ...values]) => values)
  const nameservers = valuesOf('nameserver').flatMap((values) => values.slice(0, 1))
  // As the resolver does it, the last of several counts.
  const domain = valuesOf('domain').at(-1)?.[0]
  const search = valuesOf('search').flat()
  const options = valuesOf('options').flat()
  return {
    ...(nameservers.length > 0 ? { nameservers } : {}),
    ...(domain === undefined ? {} : { domain }),
    ...(search.length > 0 ? { search } : {}),
    ...(options.length > 0 ? { options } : {}),
  }
}
