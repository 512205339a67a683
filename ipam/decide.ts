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
  sameIp,
  spanContains,
} from '../shared/address.ts'
import { CniError } from '../shared/cni/errors.ts'
import { type FixedAddress, type Plan, type Range, usableSpan } from './plan.ts'

/** An address granted to an attachment; `range` is the text of the range it came from, or its own subnet. */
export interface Grant {
  readonly address: Cidr
  readonly gateway: Ip | undefined
  readonly range: string
}

/** A requested address; `prefix` when the request named one. */
export interface RequestedAddress {
  readonly ip: Ip
  readonly prefix: number | undefined
}

/** What is held already, in the plan's space. */
export interface Held {
  has(ip: Ip): boolean
  /** Who holds it, for the message: `"ctr-1/eth0" of network "storage"`. */
  holder(ip: Ip): string
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

/** What can grant an address: a range, or a fixed address of the config. */
type Slot = Range | FixedAddress
const isRange = (slot: Slot): slot is Range => 'span' in slot
const slotNetwork = (slot: Slot): Cidr => (isRange(slot) ? slot.network : cidrNetwork(slot.address))

const refuse = (ip: Ip, why: string): never => {
  throw new CniError('ERR_CONFIG', `Cannot claim "${formatIp(ip)}": ${why}`)
}

/** The grant of a requested address by the slot whose subnet it lies in. */
function grantRequested({ ip }: RequestedAddress, slot: Slot): Grant {
  const network = slotNetwork(slot)
  const subnet = formatCidr(network)
  if (!spanContains(usableSpan(network), ip)) refuse(ip, `the network or broadcast address of ${subnet}`)
  if (slot.gateway !== undefined && sameIp(slot.gateway, ip)) refuse(ip, `the gateway of ${subnet}`)
  if (isRange(slot) && slot.excluded.some((span) => spanContains(span, ip))) refuse(ip, `excluded from ${slot.text}`)
  return { address: { ip, prefix: network.prefix }, gateway: slot.gateway, range: isRange(slot) ? slot.text : subnet }
}

/** The lowest address of a range that nobody holds; whole excluded spans are jumped over, never walked. */
function grantLowest(range: Range, held: Held): Grant {
  const { family, first, last } = range.span
  let blocked = 0
  for (let value = first; value <= last; ) {
    const ip: Ip = { family, value }
    const excluded = range.excluded.find((span) => spanContains(span, ip))
    if (excluded !== undefined) {
      value = excluded.last + 1n
    } else if ((range.gateway !== undefined && sameIp(range.gateway, ip)) || held.has(ip)) {
      value += 1n
    } else {
      return { address: { ip, prefix: range.network.prefix }, gateway: range.gateway, range: range.text }
    }
    blocked++
  }
  const bounds = `${formatIp({ family, value: first })}-${formatIp({ family, value: last })}`
  const details = `${blocked === 0 ? 'the range has no address' : 'every address is held, excluded or the gateway'}`
  throw new CniError('ERR_EXHAUSTED', `Cannot claim an address of "${range.text}": none of ${bounds} is free`, {
    details,
  })
}

function grantFixed({ address, gateway }: FixedAddress): Grant {
  return { address, gateway, range: formatCidr(cidrNetwork(address)) }
}

/**
 * The slot that serves a requested address: the range or fixed address that would give it by itself, else one that may,
 * else the first of its subnet, which then says why not.
 */
function slotFor(slots: readonly Slot[], { ip }: RequestedAddress): Slot | undefined {
  const inSubnet = slots.filter((slot) => spanContains(cidrSpan(slotNetwork(slot)), ip))
  const able = inSubnet.filter((slot) => !isRange(slot) || mayGrant(slot, ip))
  const own = able.find((slot) => (isRange(slot) ? spanContains(slot.span, ip) : sameIp(slot.address.ip, ip)))
  return own ?? able[0] ?? inSubnet[0]
}

/** Which requested addresses each slot serves. */
function assign(slots: readonly Slot[], requested: readonly RequestedAddress[]): Map<Slot, RequestedAddress[]> {
  const assigned = new Map<Slot, RequestedAddress[]>()
  for (const request of requested) {
    const slot = slotFor(slots, request)
    if (slot === undefined) {
      const subnets = slots.map((candidate) => formatCidr(slotNetwork(candidate))).join(', ')
      return refuse(request.ip, `lies in no subnet of this network (${subnets})`)
    }
    assigned.set(slot, [...(assigned.get(slot) ?? []), request])
  }
  return assigned
}

/** Requested addresses of a network that has neither range nor address: taken as asked, so they need their prefix. */
function grantUnplanned({ ip, prefix }: RequestedAddress): Grant {
  if (prefix === undefined) return refuse(ip, 'the network has no range, so the request must say "address/prefix"')
  const address = { ip, prefix }
  return { address, gateway: undefined, range: formatCidr(cidrNetwork(address)) }
}

/**
 * Decides. The grants come in the order of the plan: ranges, then fixed addresses. Throws ERR_EXHAUSTED, ERR_CONFIG
 * for a request that no range can grant, and ERR_TAKEN with the address of the first grant that somebody holds.
 */
export function decide(plan: Plan, requested: readonly RequestedAddress[], held: Held): Grant[] {
  const slots = slotsOf(plan)
  const granted: Grant[] = []
  const grantedHere: Held = {
    has: (ip) => held.has(ip) || granted.some(({ address }) => sameIp(address.ip, ip)),
    holder: (ip) => (held.has(ip) ? held.holder(ip) : 'this attachment itself'),
  }
  const give = (grant: Grant): Grant => {
    granted.push(grant)
    return grant
  }
  const giveNamed = (grant: Grant): Grant => give(unheld(grant, grantedHere))
  if (slots.length === 0) return requested.map((request) => giveNamed(grantUnplanned(request)))
  const assigned = assign(slots, requested)
  // Addresses named by somebody first: a dynamic one must not take what another slot is about to be given.
  const named = slots.map((slot) => {
    const wanted = assigned.get(slot)?.map((request) => grantRequested(request, slot))
    const own = wanted ?? (isRange(slot) ? [] : [grantFixed(slot)])
    return own.map(giveNamed)
  })
  return slots.flatMap((slot, index) => {
    const own = named[index] ?? []
    if (own.length > 0 || !isRange(slot)) return own
    return [give(grantLowest(slot, grantedHere))]
  })
}

const slotsOf = (plan: Plan): Slot[] => [...plan.ranges, ...plan.fixed]

function unheld(grant: Grant, held: Held): Grant {
  const { ip } = grant.address
  if (!held.has(ip)) return grant
  throw new CniError('ERR_TAKEN', `Cannot claim "${formatIp(ip)}": held by ${held.holder(ip)}`)
}

/** Whether a slot may grant this address at all: dynamically, or because it was asked for. */
function mayGrant(slot: Slot, ip: Ip): boolean {
  if (!isRange(slot)) return sameIp(slot.address.ip, ip)
  if (slot.gateway !== undefined && sameIp(slot.gateway, ip)) return false
  return spanContains(usableSpan(slot.network), ip) && !slot.excluded.some((span) => spanContains(span, ip))
}

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
  if (slots.length === 0) return rest.length > 0 ? undefined : requested.map(grantUnplanned)
  const assigned = assign(slots, requested)
  const grants = slots.flatMap((slot): (Grant | undefined)[] => {
    const wanted = assigned.get(slot)
    if (wanted !== undefined) return wanted.map((request) => grantRequested(request, slot))
    const ip = take((candidate) => mayGrant(slot, candidate))
    if (ip === undefined) return [undefined]
    return [isRange(slot) ? grantRequested({ ip, prefix: undefined }, slot) : grantFixed(slot)]
  })
  const whole = grants.filter((grant) => grant !== undefined)
  return rest.length === 0 && whole.length === grants.length ? whole : undefined
}
