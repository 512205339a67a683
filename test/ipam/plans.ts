/** Plans and what is held, in the words of a test. */
import { type Held, type RequestedAddress, readRequested } from '../../ipam/decide.ts'
import {
  defaultSpace,
  emptyPlan,
  type FixedAddress,
  mergeSpans,
  type Plan,
  type Range,
  usableSpan,
} from '../../ipam/plan.ts'
import { cidrNetwork, cidrSpan, formatIp, type Ip, type Span } from '../../shared/address.ts'
import { cidr, ip } from '../shared/addresses.ts'

export interface RangeWish {
  readonly start?: string
  readonly end?: string
  readonly excluded?: readonly string[]
  readonly reserved?: readonly string[]
  readonly gateway?: string
}

/** A single address, or all of a prefix. */
export function spanOf(text: string): Span {
  if (text.includes('/')) return cidrSpan(cidr(text))
  const { family, value } = ip(text)
  return { family, first: value, last: value }
}

/** Far more looks than any decision of the tests needs, and far fewer than walking a span of a large subnet takes. */
const spanLooksMax = 100_000

/** A span that complains when it is walked: otherwise a test of a /64 would not fail but never end. */
function watched(span: Span): Span {
  let looks = 0
  return {
    ...span,
    get first() {
      if (++looks > spanLooksMax) throw new Error('an excluded span is walked')
      return span.first
    },
  }
}

export function rangeOf(text: string, { start, end, excluded = [], reserved = [], gateway }: RangeWish = {}): Range {
  const network = cidrNetwork(cidr(text))
  const { family, first, last } = usableSpan(network)
  return {
    text,
    space: defaultSpace,
    network,
    span: {
      family,
      first: start === undefined ? first : ip(start).value,
      last: end === undefined ? last : ip(end).value,
    },
    excluded: mergeSpans(excluded.map(spanOf)).map(watched),
    reserved: mergeSpans(reserved.map(spanOf)),
    gateway: gateway === undefined ? undefined : ip(gateway),
  }
}

export const fixedOf = (address: string, gateway?: string): FixedAddress => ({
  address: cidr(address),
  space: defaultSpace,
  gateway: gateway === undefined ? undefined : ip(gateway),
})

export const planOf = (ranges: readonly Range[], fixed: readonly FixedAddress[] = []): Plan => ({
  ...emptyPlan,
  rangeSets: ranges.map((range) => [range]),
  fixed,
})

export const requestedOf = (...texts: readonly string[]): RequestedAddress[] => readRequested(texts)

/** The addresses of a range from its first, without the blocked ones. */
function* fromFirst({ span: { family, first, last } }: Range, blocked: readonly Span[]): Generator<Ip> {
  for (let value = first; value <= last; ) {
    const jump = blocked.find((span) => span.family === family && span.first <= value && value <= span.last)
    if (jump === undefined) yield { family, value }
    value = jump === undefined ? value + 1n : jump.last + 1n
  }
}

/** These addresses are held, by whom `holder` says; candidates come from the lowest. */
export function heldOf(...texts: readonly string[]): Held {
  const values = new Set(texts.map((text) => formatIp(ip(text))))
  return {
    has: (_space, one) => values.has(formatIp(one)),
    holder: (_space, one) => `the holder of ${formatIp(one)}`,
    candidates: fromFirst,
  }
}
