/** What a dialect makes of an IPAM config: the shape that the rest of the IPAM works on, whatever the config looked like. */
import { type Cidr, cidrSpan, type Ip, type Span } from '../shared/address.ts'
import type { Dns, Route } from '../shared/cni/result.ts'

/** Addresses a network may use. */
export interface Range {
  /** As the user wrote it, for messages and for the record. */
  readonly text: string
  /** Within a space every address is held once; networks that share one may have overlapping ranges. */
  readonly space: string
  /** The subnet, host bits cleared; its length goes into the result. */
  readonly network: Cidr
  /** What dynamic allocation may take. */
  readonly span: Span
  /** Never leased, whether asked for or not: sorted, not overlapping. */
  readonly excluded: readonly Span[]
  /** Leased only to who asks for it: sorted, not overlapping. */
  readonly reserved: readonly Span[]
  readonly gateway: Ip | undefined
}

/** An address that the config itself names for its attachment. */
export interface FixedAddress {
  readonly address: Cidr
  readonly space: string
  readonly gateway: Ip | undefined
}

export interface Plan {
  /** An attachment gets one address of each set; the ranges of a set are tried in order. */
  readonly rangeSets: readonly (readonly Range[])[]
  readonly fixed: readonly FixedAddress[]
  /** Where addresses are held that were asked for and that no range and no fixed address serves. */
  readonly space: string
  readonly routes: readonly Route[]
  readonly dns: Dns
  /** What the network says of the link, for the main plugin to use where its own config is silent, or to refuse. */
  readonly link: { readonly mtuBytes?: number; readonly vlan?: number }
  /** A freed address rests this long before somebody else gets it, unless nothing else is left. */
  readonly coolDownMs: number
  /** A pod of the same namespace and name gets its addresses back within this time; undefined: it does not. */
  readonly keepMs: number | undefined
  /** Before an address is used, the wire is asked whether a stranger uses it. */
  readonly probe: boolean
}

export const defaultSpace = 'default'

/** The plan of an attachment without addresses. */
export const emptyPlan: Plan = {
  rangeSets: [],
  fixed: [],
  space: defaultSpace,
  routes: [],
  dns: {},
  link: {},
  coolDownMs: 0,
  keepMs: undefined,
  probe: false,
}

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
