/**
 * The netconfig dialect: the networks of an OpenStack `NetConfig`, and what an `IPSet` would request of them, into a Plan.
 * Checked as its webhook does; besides, a range of a single address is allowed, and gateways are never leased.
 */

import { type Cidr, cidrNetwork, formatCidr, formatIp, type Ip, sameIp, spanContains } from '../../shared/address.ts'
import { keyed, readKeys, text, textOrNone, texts, uint32 } from '../../shared/cni/keys.ts'
import type { Route } from '../../shared/cni/result.ts'
import * as z from '../../shared/cni/schema.ts'
import { defaultSpace, type FixedAddress, type Plan, type Range, usableSpan } from '../plan.ts'
import {
  berthKeyDocs,
  berthShape,
  finishPlan,
  gatewaysOf,
  readBound,
  readBounds,
  readCidr,
  readIpIn,
  readSpanIn,
  refuse,
} from './common.ts'
import type { Dialect, DialectInput } from './dialect.ts'

export function netConfigShape() {
  const listOf = <Schema extends z.$ZodType>(schema: Schema) => z._default(z.array(schema), [])
  const subnet = keyed({
    name: text,
    cidr: text,
    vlan: z.optional(z.int(z.gte(0), z.lte(4094))),
    gateway: textOrNone,
    allocationRanges: listOf(keyed({ start: text, end: text })),
    excludeAddresses: z._default(texts, []),
    routes: listOf(keyed({ destination: text, nexthop: text })),
    dnsDomain: textOrNone,
  })
  return {
    networks: z.array(keyed({ name: text, mtu: z.optional(uint32), dnsDomain: textOrNone, subnets: z.array(subnet) })),
    request: listOf(
      keyed({ name: text, subnetName: text, fixedIP: textOrNone, defaultRoute: z._default(z.boolean(), false) }),
    ),
  }
}

/** What the keys mean, for the README's table (scripts/tables.ts). */
export const netConfigKeyDocs: Record<keyof ReturnType<typeof netConfigShape>, string> = {
  networks:
    'the `spec.networks` of a NetConfig: `{name, mtu, dnsDomain, subnets}`, a subnet being `{name, cidr, vlan, gateway, allocationRanges: [{start, end}], excludeAddresses, routes: [{destination, nexthop}], dnsDomain}`; its ranges are tried in order, none means all of it; its `vlan` is the one of the `master` that `berth-macvlan` and `berth-ipvlan` attach to',
  request:
    '`{name, subnetName, fixedIP, defaultRoute}` for each address: `fixedIP` may lie outside the ranges, `defaultRoute` goes through the gateway of the subnet, once in a family; none: the first subnet of the network named like the CNI network, or of the only one',
}

const makeSchema = () => keyed({ ...berthShape(), ...netConfigShape() })
let schema: ReturnType<typeof makeSchema> | undefined

type Config = z.output<ReturnType<typeof makeSchema>>
type NetworkConfig = Config['networks'][number]
type SubnetConfig = NetworkConfig['subnets'][number]

interface Subnet {
  readonly name: string
  /** Where it is written, `ipam.networks.0.subnets.0`. */
  readonly at: string
  readonly cidr: Cidr
  readonly gateway: Ip | undefined
  /** The gateway and the next hops. */
  readonly routers: readonly Ip[]
  readonly ranges: readonly Range[]
  readonly excluded: Range['excluded']
  readonly routes: readonly Route[]
  readonly vlan: number | undefined
  readonly domain: string
}

interface Network {
  readonly name: string
  readonly at: string
  readonly mtuBytes: number | undefined
  readonly subnets: readonly Subnet[]
}

/** What an attachment shall get of a subnet. */
interface Wish {
  /** Where it is written, `ipam.request.0`. */
  readonly at: string
  readonly network: Network
  readonly subnet: Subnet
  readonly fixed: Ip | undefined
  readonly defaultRoute: boolean
}

const sameName = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase()

/** The names of networks, or of a network's subnets. */
function refuseSameNames(named: readonly { readonly name: string; readonly at: string }[]): void {
  for (const [index, { name, at }] of named.entries()) {
    if (name === '') refuse(`${at}.name`, name, 'must not be empty')
    const other = named.slice(0, index).find((before) => sameName(before.name, name))
    if (other !== undefined) refuse(`${at}.name`, name, `is the name of "${other.at}" too`)
  }
}

function readRoutes(network: Cidr, { routes }: SubnetConfig, at: string): { dst: string; gw: string; nexthop: Ip }[] {
  return routes.map(({ destination, nexthop: gw }, index) => {
    const { ip } = readCidr(`${at}.routes.${index}.destination`, destination)
    const key = `${at}.routes.${index}.nexthop`
    const nexthop = readIpIn(network, key, gw) ?? refuse(key, gw, 'is not an IP address')
    if (nexthop.family !== ip.family) refuse(key, gw, `is not of the family of "${destination}"`)
    return { dst: destination, gw, nexthop }
  })
}

function readSubnet(config: SubnetConfig, at: string, networkDomain: string): Subnet {
  const cidr = cidrNetwork(readCidr(`${at}.cidr`, config.cidr))
  const gateway = readIpIn(cidr, `${at}.gateway`, config.gateway)
  const excluded = config.excludeAddresses.map((value, index) =>
    readSpanIn([cidr], `${at}.excludeAddresses.${index}`, value),
  )
  const routes = readRoutes(cidr, config, at)
  const spans = config.allocationRanges.map(({ start, end }, index) => {
    const [first, last] = [`${at}.allocationRanges.${index}.start`, `${at}.allocationRanges.${index}.end`]
    if (start === '') refuse(first, start, 'is not an IP address')
    if (end === '') refuse(last, end, 'is not an IP address')
    return readBounds(cidr, readBound(first, start), readBound(last, end))
  })
  const rangeOf = (span: Range['span']): Range => {
    return { text: config.cidr, space: defaultSpace, network: cidr, span, excluded, reserved: [], gateway }
  }
  return {
    name: config.name,
    at,
    cidr,
    gateway,
    routers: [...gatewaysOf([{ gateway }]), ...routes.map(({ nexthop }) => nexthop)],
    ranges: (spans.length > 0 ? spans : [usableSpan(cidr)]).map(rangeOf),
    excluded,
    routes: routes.map(({ dst, gw }) => ({ dst, gw })),
    vlan: config.vlan,
    domain: config.dnsDomain || networkDomain,
  }
}

function readNetwork(config: NetworkConfig, at: string): Network {
  const subnets = config.subnets.map((subnet, index) => readSubnet(subnet, `${at}.subnets.${index}`, config.dnsDomain))
  if (subnets.length === 0) refuse(`${at}.subnets`, [], 'names no subnet')
  refuseSameNames(subnets)
  // 0 is no MTU: like an absent one it leaves the choice to the main plugin.
  return { name: config.name, at, mtuBytes: config.mtu || undefined, subnets }
}

/** All of them, requested or not, as the webhook would: a mistake shows before somebody runs into it. */
function readNetworks(config: Config): Network[] {
  const networks = config.networks.map((network, index) => readNetwork(network, `ipam.networks.${index}`))
  if (networks.length === 0) refuse('ipam.networks', [], 'names no network')
  refuseSameNames(networks)
  const subnets = networks.flatMap((network) => network.subnets)
  for (const [index, { at, cidr }] of subnets.entries()) {
    const written = formatCidr(cidr)
    const other = subnets.slice(0, index).find((before) => formatCidr(before.cidr) === written)
    if (other !== undefined) refuse(`${at}.cidr`, written, `is the subnet of "${other.at}" too`)
  }
  return networks
}

const namesOf = (named: readonly { readonly name: string }[]): string => named.map(({ name }) => name).join(', ')

/** A fixed address may lie outside the ranges, but may not be what no host may have. */
function readFixedIp({ cidr, excluded, routers }: Subnet, key: string, value: string): Ip | undefined {
  const ip = readIpIn(cidr, key, value)
  if (ip === undefined) return undefined
  if (excluded.some((span) => spanContains(span, ip))) refuse(key, value, `is excluded from ${formatCidr(cidr)}`)
  if (routers.some((router) => sameIp(router, ip))) refuse(key, value, 'is the address of a gateway')
  if (spanContains(usableSpan(cidr), ip)) return ip
  return refuse(key, value, `is the network or broadcast address of ${formatCidr(cidr)}`)
}

function readRequest(networks: readonly Network[], config: Config): Wish[] {
  return config.request.map(({ name, subnetName, fixedIP, defaultRoute }, index) => {
    const at = `ipam.request.${index}`
    const network =
      networks.find((candidate) => sameName(candidate.name, name)) ??
      refuse(`${at}.name`, name, `is none of the networks ${namesOf(networks)}`)
    if (config.request.slice(0, index).some((before) => sameName(before.name, name))) {
      refuse(`${at}.name`, name, 'is requested twice')
    }
    const subnet =
      network.subnets.find((candidate) => sameName(candidate.name, subnetName)) ??
      refuse(`${at}.subnetName`, subnetName, `is none of the subnets ${namesOf(network.subnets)}`)
    if (defaultRoute && subnet.gateway === undefined) {
      refuse(`${at}.defaultRoute`, true, `subnet "${subnet.name}" of network "${network.name}" has no gateway`)
    }
    return { at, network, subnet, fixed: readFixedIp(subnet, `${at}.fixedIP`, fixedIP), defaultRoute }
  })
}

/** What an attachment gets when nothing is requested: an address of the network that it is named after, or of the only one. */
function ownNetwork(networks: readonly Network[], name: string): Wish[] {
  const network =
    networks.find((candidate) => sameName(candidate.name, name)) ?? (networks.length === 1 ? networks[0] : undefined)
  const subnet = network?.subnets[0]
  if (network === undefined || subnet === undefined) {
    const why = `network "${name}" is none of the networks ${namesOf(networks)}, so one must be requested`
    return refuse('ipam.request', [], why)
  }
  return [{ at: 'ipam.request', network, subnet, fixed: undefined, defaultRoute: false }]
}

function routesOf(wishes: readonly Wish[]): Route[] {
  const defaults = wishes.filter(({ defaultRoute }) => defaultRoute)
  for (const [index, { at, subnet }] of defaults.entries()) {
    const { family } = subnet.cidr.ip
    const other = defaults.slice(0, index).find((before) => before.subnet.cidr.ip.family === family)
    if (other === undefined) continue
    const why = `network "${other.network.name}" has the default route of IPv${family} already`
    refuse(`${at}.defaultRoute`, true, why)
  }
  return wishes.flatMap(({ subnet, defaultRoute }) => {
    if (!defaultRoute || subnet.gateway === undefined) return subnet.routes
    const dst = subnet.cidr.ip.family === 4 ? '0.0.0.0/0' : '::/0'
    return [...subnet.routes, { dst, gw: formatIp(subnet.gateway) }]
  })
}

interface Said {
  readonly key: string
  readonly network: string
  readonly value: number | undefined
}

/** The one value that is written, by whichever request: an attachment has one link. */
function agreed(said: readonly Said[]): number | undefined {
  const written = said.filter(({ value }) => value !== undefined)
  const [first] = written
  const other = written.find(({ value }) => value !== first?.value)
  if (other === undefined) return first?.value
  return refuse(
    other.key,
    other.value,
    `network "${other.network}" cannot share a link with "${first?.network}", which has ${first?.value}`,
  )
}

function linkOf(wishes: readonly Wish[]): Plan['link'] {
  const mtuBytes = agreed(
    wishes.map(({ network: { at, name, mtuBytes: value } }) => ({ key: `${at}.mtu`, network: name, value })),
  )
  const vlan = agreed(
    wishes.map(({ subnet, network }) => ({ key: `${subnet.at}.vlan`, network: network.name, value: subnet.vlan })),
  )
  return { ...(mtuBytes === undefined ? {} : { mtuBytes }), ...(vlan === undefined ? {} : { vlan }) }
}

function plan({ ipam, network }: DialectInput): Plan {
  schema ??= makeSchema()
  const config = readKeys(schema, ipam, 'ipam')
  const networks = readNetworks(config)
  const wishes = config.request.length > 0 ? readRequest(networks, config) : ownNetwork(networks, network)
  const fixed = wishes.flatMap(({ subnet: { cidr, gateway }, fixed: ip }): FixedAddress[] =>
    ip === undefined ? [] : [{ address: { ip, prefix: cidr.prefix }, space: defaultSpace, gateway }],
  )
  const rangeSets = wishes.filter((wish) => wish.fixed === undefined).map(({ subnet }) => subnet.ranges)
  const domain = wishes.map(({ subnet }) => subnet.domain).find((one) => one !== '')
  const routers = networks.flatMap(({ subnets }) => subnets.flatMap((subnet) => subnet.routers))
  return finishPlan(
    config,
    {
      rangeSets,
      fixed,
      space: defaultSpace,
      routes: routesOf(wishes),
      dns: domain === undefined ? {} : { domain },
      link: linkOf(wishes),
    },
    routers,
  )
}

export const netConfig: Dialect = {
  name: 'netconfig',
  plan,
  keys: [...Object.keys(berthKeyDocs), ...Object.keys(netConfigKeyDocs)],
}
