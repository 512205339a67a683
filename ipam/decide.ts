/**
 * Which addresses an attachment gets. Pure: the plan, the request and what is held come in as arguments.
 *
 * Every range gives one address and every fixed address of the config is given, except where an address was asked for:
 * a requested address takes the place of the dynamic one of its range, or of the fixed one of its subnet.
 */
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
  sameIp,
  spanContains,
} from '../shared/address.ts'
import { CniError } from '../shared/cni/errors.ts'
import { type FixedAddress, mergeSpans, type Plan, type Range, usableSpan } from './plan.ts'

/** An address granted to an attachment; `range` is the text of the range it came from, or its own subnet. */
export interface Grant {
  readonly address: Cidr
  readonly space: string
  readonly gateway: Ip | undefined
  readonly range: string
}

/** A requested address; `prefix` when the request named one. */
export interface RequestedAddress {
  readonly ip: Ip
  readonly prefix: number | undefined
}

/** What is held already, and what to try next. */
export interface Held {
  has(space: string, ip: Ip): boolean
  /** Who holds it, for the message: `"ctr-1/eth0" of network "storage"`. */
  holder(space: string, ip: Ip): string
  /** Addresses of the range to try, in order, outside `blocked`; some may be held. */
  candidates(range: Range, blocked: readonly Span[]): Iterable<Ip>
}

/** Reads requested addresses, with or without a prefix. Throws ERR_CONFIG naming the one that is none. */
export function readRequested(texts: readonly string[]): RequestedAddress[] {
  return texts.map((text) => {
    const cidr = parseCidr(text)
    const ip = cidr?.ip ?? parseIp(text)
    if (ip === undefined) throw new CniError('ERR_CONFIG', `Cannot claim ${JSON.stringify(text)}: not an IP address`)
    return { ip, prefix: cidr?.prefix }
  })
}

/** What can grant an address: a set of ranges, or a fixed address of the config. */
type Slot = readonly Range[] | FixedAddress
const isSet = (slot: Slot): slot is readonly Range[] => Array.isArray(slot)

const refuse = (ip: Ip, why: string): never => {
  throw new CniError('ERR_CONFIG', `Cannot claim "${formatIp(ip)}": ${why}`)
}

const isExcluded = ({ excluded }: Range, ip: Ip): boolean => excluded.some((span) => spanContains(span, ip))
const isGateway = ({ gateway }: Range, ip: Ip): boolean => gateway !== undefined && sameIp(gateway, ip)

/** The range of a set whose subnet an address lies in: one that may grant it before one that may not. */
function rangeFor(ranges: readonly Range[], ip: Ip): Range | undefined {
  const inSubnet = ranges.filter(({ network }) => spanContains(cidrSpan(network), ip))
  const able = inSubnet.filter((range) => mayGrant(range, ip))
  return able.find(({ span }) => spanContains(span, ip)) ?? able[0] ?? inSubnet[0]
}

function grantOf(range: Range, ip: Ip): Grant {
  return {
    address: { ip, prefix: range.network.prefix },
    space: range.space,
    gateway: range.gateway,
    range: range.text,
  }
}

/** The grant of a requested address by the slot whose subnet it lies in. */
function grantRequested({ ip }: RequestedAddress, slot: Slot): Grant {
  const range = isSet(slot) ? rangeFor(slot, ip) : undefined
  const network = range?.network ?? (isSet(slot) ? undefined : cidrNetwork(slot.address))
  if (network === undefined) return refuse(ip, 'lies in no subnet of its range')
  const subnet = formatCidr(network)
  if (!spanContains(usableSpan(network), ip)) refuse(ip, `the network or broadcast address of ${subnet}`)
  const gateway = range?.gateway ?? (isSet(slot) ? undefined : slot.gateway)
  if (gateway !== undefined && sameIp(gateway, ip)) refuse(ip, `the gateway of ${subnet}`)
  if (range !== undefined && isExcluded(range, ip)) refuse(ip, `excluded from ${range.text}`)
  if (range !== undefined) return grantOf(range, ip)
  const space = isSet(slot) ? '' : slot.space
  return { address: { ip, prefix: network.prefix }, space, gateway, range: subnet }
}

/** Never given unasked: sorted, not overlapping. */
export function blockedOf({ excluded, reserved, gateway }: Range): Span[] {
  const own = gateway === undefined ? [] : [{ family: gateway.family, first: gateway.value, last: gateway.value }]
  return mergeSpans([...excluded, ...reserved, ...own])
}

/** The first address of a set's ranges that nobody holds. */
function grantNext(ranges: readonly Range[], held: Held): Grant {
  for (const range of ranges) {
    for (const ip of held.candidates(range, blockedOf(range))) {
      if (!held.has(range.space, ip)) return grantOf(range, ip)
    }
  }
  const bounds = ranges.map(({ span: { family, first, last } }) =>
    [first, last].map((value) => formatIp({ family, value })).join('-'),
  )
  const texts = ranges.map(({ text }) => `"${text}"`).join(', ')
  const message = `Cannot claim an address of ${texts}: none of ${bounds.join(', ')} is free`
  throw new CniError('ERR_EXHAUSTED', message, { details: 'every address is held, kept, excluded or the gateway' })
}

function grantFixed({ address, space, gateway }: FixedAddress): Grant {
  return { address, space, gateway, range: formatCidr(cidrNetwork(address)) }
}

const subnetsOf = (slot: Slot): Cidr[] =>
  isSet(slot) ? slot.map(({ network }) => network) : [cidrNetwork(slot.address)]

/** Whether a slot would give the address by itself. */
const wouldGrant = (slot: Slot, ip: Ip): boolean =>
  isSet(slot) ? slot.some(({ span }) => spanContains(span, ip)) : sameIp(slot.address.ip, ip)

/**
 * The slot that serves a requested address: the set or fixed address that would give it by itself, else one that may,
 * else the first of its subnet, which then says why not.
 */
function slotFor(slots: readonly Slot[], { ip }: RequestedAddress): Slot | undefined {
  const inSubnet = slots.filter((slot) => subnetsOf(slot).some((network) => spanContains(cidrSpan(network), ip)))
  const able = inSubnet.filter((slot) => !isSet(slot) || slotMayGrant(slot, ip))
  return able.find((slot) => wouldGrant(slot, ip)) ?? able[0] ?? inSubnet[0]
}

/** Which requested addresses each slot serves. */
function assign(slots: readonly Slot[], requested: readonly RequestedAddress[]): Map<Slot, RequestedAddress[]> {
  const assigned = new Map<Slot, RequestedAddress[]>()
  for (const request of requested) {
    const slot = slotFor(slots, request)
    if (slot === undefined) {
      const subnets = slots.flatMap(subnetsOf).map(formatCidr).join(', ')
      return refuse(request.ip, `lies in no subnet of this network (${subnets})`)
    }
    assigned.set(slot, [...(assigned.get(slot) ?? []), request])
  }
  return assigned
}

/** Requested addresses of a network that has neither range nor address: taken as asked, so they need their prefix. */
function grantUnplanned({ ip, prefix }: RequestedAddress, space: string): Grant {
  if (prefix === undefined) return refuse(ip, 'the network has no range, so the request must say "address/prefix"')
  const address = { ip, prefix }
  return { address, space, gateway: undefined, range: formatCidr(cidrNetwork(address)) }
}

/**
 * Decides. The grants come in the order of the plan: ranges, then fixed addresses. Throws ERR_EXHAUSTED, ERR_CONFIG
 * for a request that no range can grant, and ERR_TAKEN with the address of the first grant that somebody holds.
 */
export function decide(plan: Plan, requested: readonly RequestedAddress[], held: Held): Grant[] {
  const slots = slotsOf(plan)
  const granted: Grant[] = []
  const grantedHere: Held = {
    has: (space, ip) => held.has(space, ip) || granted.some((one) => one.space === space && sameIp(one.address.ip, ip)),
    holder: (space, ip) => (held.has(space, ip) ? held.holder(space, ip) : 'this attachment itself'),
    candidates: (range, blocked) => held.candidates(range, blocked),
  }
  const give = (grant: Grant): Grant => {
    granted.push(grant)
    return grant
  }
  const giveNamed = (grant: Grant): Grant => give(unheld(grant, grantedHere))
  if (slots.length === 0) return requested.map((request) => giveNamed(grantUnplanned(request, plan.space)))
  const assigned = assign(slots, requested)
  // Addresses named by somebody first: a dynamic one must not take what another slot is about to be given.
  const named = slots.map((slot) => {
    const wanted = assigned.get(slot)?.map((request) => grantRequested(request, slot))
    const own = wanted ?? (isSet(slot) ? [] : [grantFixed(slot)])
    return own.map(giveNamed)
  })
  return slots.flatMap((slot, index) => {
    const own = named[index] ?? []
    if (own.length > 0 || !isSet(slot)) return own
    return [give(grantNext(slot, grantedHere))]
  })
}

const slotsOf = (plan: Plan): Slot[] => [...plan.rangeSets, ...plan.fixed]

function unheld(grant: Grant, held: Held): Grant {
  const { ip } = grant.address
  if (!held.has(grant.space, ip)) return grant
  throw new CniError('ERR_TAKEN', `Cannot claim "${formatIp(ip)}": held by ${held.holder(grant.space, ip)}`)
}

/** Whether a range may grant this address at all: dynamically, or because it was asked for. */
const mayGrant = (range: Range, ip: Ip): boolean =>
  spanContains(usableSpan(range.network), ip) && !isGateway(range, ip) && !isExcluded(range, ip)

const slotMayGrant = (slot: Slot, ip: Ip): boolean =>
  isSet(slot) ? slot.some((range) => mayGrant(range, ip)) : sameIp(slot.address.ip, ip)

/**
 * The grants of addresses held from an earlier call, as the plan gives them now; undefined when they are no answer to it
 * any more. One address for each slot that nothing is asked of, and the requested ones, and no other.
 */
export function grantAgain(
  plan: Plan,
  requested: readonly RequestedAddress[],
  own: readonly Ip[],
): Grant[] | undefined {
  const slots = slotsOf(plan)
  const rest = [...own]
  const take = (wanted: (ip: Ip) => boolean): Ip | undefined => {
    const index = rest.findIndex(wanted)
    return index < 0 ? undefined : rest.splice(index, 1)[0]
  }
  const asked = requested.map((request) => ({ request, ip: take((ip) => sameIp(ip, request.ip)) }))
  if (asked.some(({ ip }) => ip === undefined)) return undefined
  if (slots.length === 0) return rest.length > 0 ? undefined : requested.map((one) => grantUnplanned(one, plan.space))
  const assigned = assign(slots, requested)
  const grants = slots.flatMap((slot): (Grant | undefined)[] => {
    const wanted = assigned.get(slot)
    if (wanted !== undefined) return wanted.map((request) => grantRequested(request, slot))
    const ip = take((candidate) => slotMayGrant(slot, candidate))
    if (ip === undefined) return [undefined]
    return [isSet(slot) ? grantRequested({ ip, prefix: undefined }, slot) : grantFixed(slot)]
  })
  const whole = grants.filter((grant) => grant !== undefined)
  return rest.length === 0 && whole.length === grants.length ? whole : undefined
}
