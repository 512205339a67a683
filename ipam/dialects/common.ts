/**
 * What the dialects have in common: reading addresses, bounds and routes, building ranges, and the keys that Berth adds to
 * every one of them. Whatever does not parse, lies outside its subnet or is inverted is an error that names key and value.
 */

import {
  type Cidr,
  cidrNetwork,
  cidrSpan,
  type Family,
  formatCidr,
  formatIp,
  type Ip,
  parseCidr,
  parseIp,
  type Span,
  sameIp,
  spanContains,
} from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { type keyed, textOrNone, texts, uint32 } from '../../shared/cni/keys.ts'
import type { Route } from '../../shared/cni/result.ts'
import * as z from '../../shared/cni/schema.ts'
import { type FixedAddress, mergeSpans, type Plan, type Range, usableSpan } from '../plan.ts'

/** The shapes are functions: each schema costs its making, and a call needs those of one dialect, a DEL none. */
export const berthShape = () => ({
  dialect: textOrNone,
  type: textOrNone,
  reserved: z._default(texts, []),
  cooldownSeconds: z._default(uint32, 30),
  sticky: z._default(z.boolean(), false),
  stickyRetentionSeconds: z._default(uint32, 86_400),
  conflictCheck: z._default(z.boolean(), false),
})

/** What the keys mean, for the README's table (scripts/tables.ts). */
export const berthKeyDocs: Record<keyof ReturnType<typeof berthShape>, string> = {
  dialect: '`whereabouts`, `host-local`, `static` or `netconfig`; none: by `type`, else by the keys that are there',
  type: '`berth-ipam`, or the plugin whose keys these are',
  reserved:
    'addresses, prefixes and `10.0.0.5-10.0.0.9`, given only to who asks for them; each must lie in a subnet of the config',
  cooldownSeconds: 'how long a freed address rests before somebody else gets it, unless nothing else is left',
  sticky: 'a pod of the same namespace and name gets its addresses back',
  stickyRetentionSeconds: 'how long they are kept for it',
  conflictCheck: 'before an address is used, the wire is asked whether a stranger uses it',
}

type BerthConfig = z.output<ReturnType<typeof keyed<ReturnType<typeof berthShape>>>>

/** Throws the error of a value that cannot be used; `key` is the whole path, `ipam.range`. */
export function refuse(key: string, value: unknown, why: string): never {
  throw new CniError('ERR_CONFIG', `Cannot read "${key}": ${JSON.stringify(value) ?? 'nothing'}: ${why}`)
}

export const readIp = (key: string, value: string): Ip => parseIp(value) ?? refuse(key, value, 'is not an IP address')

export const readCidr = (key: string, value: string): Cidr =>
  parseCidr(value) ?? refuse(key, value, 'is not "address/prefix"')

const familyName = (family: Family): string => `IPv${family}`

/** An address of a family, `undefined` for an empty text. */
export function readIpOf(family: Family, key: string, value: string): Ip | undefined {
  if (value === '') return undefined
  const ip = readIp(key, value)
  return ip.family === family ? ip : refuse(key, value, `is not an ${familyName(family)} address`)
}

/** An address that must lie in a subnet, `undefined` for an empty text. */
export function readIpIn(network: Cidr, key: string, value: string): Ip | undefined {
  if (value === '') return undefined
  const ip = readIp(key, value)
  return spanContains(cidrSpan(network), ip) ? ip : refuse(key, value, outside(network))
}

const outside = (network: Cidr): string => `lies outside the range ${formatCidr(network)}`

const oneAddress = ({ family, value }: Ip): Span => ({ family, first: value, last: value })

/** A single address, or the whole of a prefix; undefined when the text is neither. */
function parseSpan(text: string): Span | undefined {
  const ip = parseIp(text)
  if (ip !== undefined) return oneAddress(ip)
  const cidr = parseCidr(text)
  return cidr === undefined ? undefined : cidrSpan(cidr)
}

/** An excluded address or prefix. One wider than the subnet is fine, one beside it a mistake. */
export function readExcluded(network: Cidr, key: string, value: string): Span {
  const span = parseSpan(value) ?? refuse(key, value, 'is neither an address nor a prefix')
  const whole = cidrSpan(network)
  const beside = span.family !== whole.family || span.last < whole.first || span.first > whole.last
  return beside ? refuse(key, value, outside(network)) : span
}

/** An address, a prefix, or a run of addresses, which must lie in one of the subnets. */
export function readSpanIn(networks: readonly Cidr[], key: string, value: string): Span {
  const span = parseSpan(value) ?? readRun(key, value)
  if (networks.some((network) => isWithin(span, network))) return span
  const [only, ...others] = networks
  if (only === undefined) return refuse(key, value, 'there is no subnet to lie in')
  const why =
    others.length === 0 ? outside(only) : `lies in no subnet of this config: ${networks.map(formatCidr).join(', ')}`
  return refuse(key, value, why)
}

function isWithin(span: Span, network: Cidr): boolean {
  const whole = cidrSpan(network)
  return whole.family === span.family && whole.first <= span.first && span.last <= whole.last
}

function readRun(key: string, value: string): Span {
  const dash = value.indexOf('-')
  const [first, last] = [parseIp(value.slice(0, dash)), parseIp(value.slice(dash + 1))]
  if (first === undefined || last === undefined) {
    return refuse(key, value, 'is neither an address, nor a prefix, nor "first-last"')
  }
  if (first.family !== last.family) refuse(key, value, 'mixes address families')
  if (last.value < first.value) refuse(key, value, `"${formatIp(last)}" comes before "${formatIp(first)}"`)
  return { family: first.family, first: first.value, last: last.value }
}

/** A first or last address to give, and where it is written. */
export interface Bound {
  readonly ip: Ip
  readonly key: string
  readonly value: string
  /** The value is the notation of a whole range, of which this is a part. */
  readonly inNotation?: boolean
}

/** A bound that is a key of its own; undefined for an empty text. */
export const readBound = (key: string, value: string): Bound | undefined =>
  value === '' ? undefined : { ip: readIp(key, value), key, value }

/** What dynamic allocation may take between two bounds. One that is not written is the first or last usable address. */
export function readBounds(network: Cidr, start: Bound | undefined, end: Bound | undefined): Span {
  const whole = cidrSpan(network)
  for (const bound of [start, end]) {
    if (bound === undefined || spanContains(whole, bound.ip)) continue
    const part = bound.inNotation ? `"${formatIp(bound.ip)}" ` : ''
    refuse(bound.key, bound.value, part + outside(network))
  }
  const { family, ...usable } = usableSpan(network)
  const first = start?.ip.value ?? usable.first
  const last = end?.ip.value ?? usable.last
  // A bound on the network or broadcast address means "from the first" and "to the last".
  const span = {
    family,
    first: first < usable.first ? usable.first : first,
    last: last > usable.last ? usable.last : last,
  }
  if (first <= last && span.first <= span.last) return span
  const [from, to] = [first, last].map((value) => formatIp({ family, value }))
  // The bound that was written by itself is to blame, not the one that a notation or a default gives.
  const blamed = [end, start].find((bound) => bound !== undefined && !bound.inNotation) ?? end ?? start
  if (first <= last) refuse(blamed?.key ?? '', blamed?.value, `leaves no usable address of ${formatCidr(network)}`)
  const why = blamed === start ? `comes after the last address "${to}"` : `comes before the first address "${from}"`
  return refuse(blamed?.key ?? '', blamed?.value, blamed?.inNotation ? `"${to}" ${why}` : why)
}

/** Checks routes as they will stand in the result, and returns their gateways: nobody may get those. */
export function readRouters(routes: readonly Route[], at = 'ipam.routes'): Ip[] {
  return routes.flatMap(({ dst, gw = '' }, index) => {
    const destination = readCidr(`${at}.${index}.dst`, dst)
    const gateway = readIpOf(destination.ip.family, `${at}.${index}.gw`, gw)
    return gateway === undefined ? [] : [gateway]
  })
}

interface AddressKeys {
  readonly address: string
  readonly gateway: string
}

/** The fixed addresses of `ipam.addresses`; `spaceOf` says where one is held. None may be one of the routers, or its own. */
export function readFixed(
  addresses: readonly AddressKeys[],
  spaceOf: (address: Cidr) => string,
  routers: readonly Ip[],
): FixedAddress[] {
  const fixed = addresses.map((own, index) => {
    const address = readCidr(`ipam.addresses.${index}.address`, own.address)
    const gateway = readIpOf(address.ip.family, `ipam.addresses.${index}.gateway`, own.gateway)
    return { address, space: spaceOf(address), gateway }
  })
  const gateways = [...routers, ...gatewaysOf(fixed)]
  for (const [index, { address }] of fixed.entries()) {
    const isSame = (ip: Ip): boolean => sameIp(ip, address.ip)
    const problem = gateways.some(isSame) ? 'is the address of a gateway' : 'stands there twice'
    const seen = [...gateways, ...fixed.slice(0, index).map((before) => before.address.ip)]
    if (seen.some(isSame)) refuse(`ipam.addresses.${index}.address`, addresses[index]?.address, problem)
  }
  return fixed
}

export const gatewaysOf = (slots: readonly { readonly gateway: Ip | undefined }[]): Ip[] =>
  slots.flatMap(({ gateway }) => (gateway === undefined ? [] : [gateway]))

type PlanDraft = Omit<Plan, 'coolDownMs' | 'keepMs' | 'probe'>

/** Ranges and fixed addresses of one network: what an attachment claims is claimed while all others wait. */
const slotsMax = 512

/**
 * The plan of a draft, with what Berth's own keys say. A pod with the address of a router would answer for it, and the
 * kernel refuses the route through oneself besides: no gateway of the config, nor of `routers`, is ever leased.
 */
export function finishPlan(config: BerthConfig, draft: PlanDraft, routers: readonly Ip[]): Plan {
  const ranges = draft.rangeSets.flat()
  const count = ranges.length + draft.fixed.length
  if (count > slotsMax) refuse('ipam', count, `has more than ${slotsMax} ranges and addresses`)
  const gateways = [...routers, ...gatewaysOf(ranges), ...gatewaysOf(draft.fixed)]
  const networks = [...ranges.map(({ network }) => network), ...draft.fixed.map(({ address }) => cidrNetwork(address))]
  const reserved = config.reserved.map((value, index) => readSpanIn(networks, `ipam.reserved.${index}`, value))
  const finish = (range: Range): Range => {
    const whole = cidrSpan(range.network)
    const others = gateways.filter(
      (ip) => spanContains(whole, ip) && !(range.gateway !== undefined && sameIp(ip, range.gateway)),
    )
    const own = reserved.filter((span) => isWithin(span, range.network))
    return {
      ...range,
      excluded: mergeSpans([...range.excluded, ...others.map(oneAddress)]),
      reserved: mergeSpans([...range.reserved, ...own]),
    }
  }
  return {
    ...draft,
    rangeSets: draft.rangeSets.map((set) => set.map(finish)),
    coolDownMs: config.cooldownSeconds * 1000,
    keepMs: config.sticky ? config.stickyRetentionSeconds * 1000 : undefined,
    probe: config.conflictCheck,
  }
}
