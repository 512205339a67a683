/** What a dialect makes of an IPAM config: the shape that the rest of the IPAM works on, whatever the config looked like. */
import { type Cidr, cidrSpan, type Ip, type Span } from '../shared/address.ts'
import type { Dns, Route } from '../shared/cni/result.ts'

/** Addresses a network may use; an attachment gets one of each range. */
export interface Range {
  /** As the user wrote it, for messages and for the record. */
  readonly text: string
  /** The subnet, host bits cleared; its length goes into the result. */
  readonly network: Cidr
  /** What dynamic allocation may take, in order. */
  readonly span: Span
  /** Never leased, whether asked for or not: sorted, not overlapping. */
  readonly excluded: readonly Span[]
  readonly gateway: Ip | undefined
}

/** An address that the config itself names for its attachment. */
export interface FixedAddress {
  readonly address: Cidr
  readonly gateway: Ip | undefined
}

export interface Plan {
  /** Within a space every address is held once; networks that share one may have overlapping ranges. */
  readonly space: string
  readonly ranges: readonly Range[]
  readonly fixed: readonly FixedAddress[]
  readonly routes: readonly Route[]
  readonly dns: Dns
}

/** The plan of an attachment without addresses. */
export const emptyPlan: Plan = { space: 'default', ranges: [], fixed: [], routes: [], dns: {} }

/**
 * The addresses of a subnet that hosts may have: without its first and last (network and broadcast; the first of an
 * IPv6 subnet is the routers' anycast address, RFC 4291 section 2.6.1), except where only one or two exist (RFC 3021,
 * RFC 6164).
 */
export function usableSpan(network: Cidr): Span {
  const span = cidrSpan(network)
  return span.last - span.first < 2n ? span : { ...span, first: span.first + 1n, last: span.last - 1n }
}

/** Sorts spans and joins those that overlap or touch. */
export function mergeSpans(spans: readonly Span[]): Span[] {
  const merged: Span[] = []
  for (const span of [...spans].sort((a, b) => (a.first < b.first ? -1 : 1))) {
    const previous = merged.at(-1)
    if (previous === undefined || span.first > previous.last + 1n) merged.push(span)
    else if (span.last > previous.last) merged[merged.length - 1] = { ...previous, last: span.last }
  }
  return merged
}
