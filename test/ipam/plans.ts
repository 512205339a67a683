/** Plans and what is held, in the words of a test. */
import { type Held, type RequestedAddress, readRequested } from '../../ipam/decide.ts'
import { emptyPlan, type FixedAddress, mergeSpans, type Plan, type Range, usableSpan } from '../../ipam/plan.ts'
import { cidrNetwork, cidrSpan, formatIp, type Ip, type Span } from '../../shared/address.ts'
import { cidr, ip } from '../shared/addresses.ts'

export interface RangeWish {
  readonly start?: string
  readonly end?: string
  readonly excluded?: readonly string[]
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

export function rangeOf(text: string, { start, end, excluded = [], gateway }: RangeWish = {}): Range {
  const network = cidrNetwork(cidr(text))
  const { family, first, last } = usableSpan(network)
  return {
    text,
    network,
    span: {
      family,
      first: start === undefined ? first : ip(start).value,
      last: end === undefined ? last : ip(end).value,
    },
    excluded: mergeSpans(excluded.map(spanOf)).map(watched),
    gateway: gateway === undefined ? undefined : ip(gateway),
  }
}

export const fixedOf = (address: string, gateway?: string): FixedAddress => ({
  address: cidr(address),
  gateway: gateway === undefined ? undefined : ip(gateway),
})

export const planOf = (ranges: readonly Range[], fixed: readonly FixedAddress[] = []): Plan => ({
  ...emptyPlan,
  ranges,
  fixed,
})

export const requestedOf = (...texts: readonly string[]): RequestedAddress[] => readRequested(texts)

/** These addresses are held, by whom `holder` says. */
export function heldOf(...texts: readonly string[]): Held {
  const values = new Set(texts.map((text) => formatIp(ip(text))))
  return { has: (one: Ip) => values.has(formatIp(one)), holder: (one: Ip) => `the holder of ${formatIp(one)}` }
}
