/** One stay in the lock: what is decided in it, and the records of that. */

import { formatCidr, formatIp, type Ip, sameIp, spanContains } from '../shared/address.ts'
import { describeKey } from '../shared/attachment.ts'
import type { Instant } from '../shared/clock.ts'
import type { AttachmentKey } from '../shared/cni/request.ts'
import { decide, type Grant, type Held, type RequestedAddress } from './decide.ts'
import { type AttachmentRecord, type Lease, leaseIp, leaseSpace, recordFormat, recordKey } from './ledger/record.ts'
import type { Order, Store } from './ledger/store.ts'
import { defaultSpace, type Plan } from './plan.ts'
import type { Node } from './sweep.ts'

/** What is claimed, and what the record shall say about who claims it. */
export interface Claim {
  readonly key: AttachmentKey
  readonly plan: Plan
  readonly requested: readonly RequestedAddress[]
  readonly link?: AttachmentRecord['link']
  readonly netns?: AttachmentRecord['netns']
  readonly pod?: AttachmentRecord['pod']
  readonly node: Node
  readonly now: Instant
}

const toLease = ({ address, space, gateway, range }: Grant): Lease => ({
  address: formatCidr(address),
  ...(gateway === undefined ? {} : { gateway: formatIp(gateway) }),
  range,
  ...(space === defaultSpace ? {} : { space }),
})

/** What is recorded of a claim that was given these. */
export function newRecord(claim: Claim, grants: readonly Grant[]): AttachmentRecord {
  return {
    format: recordFormat,
    ...claim.key,
    leases: grants.map(toLease),
    ...(claim.link === undefined ? {} : { link: claim.link }),
    ...(claim.netns === undefined ? {} : { netns: claim.netns }),
    ...(claim.pod === undefined ? {} : { pod: claim.pod }),
    ...(claim.plan.keepMs === undefined ? {} : { keepMs: claim.plan.keepMs }),
    host: claim.node.host,
    bootId: claim.node.bootId,
    claimedAt: claim.now.toISOString(),
  }
}

/** One stay in the lock: the orders that are read, and what is given before it is written. */
export class Round {
  readonly #store: Store
  readonly #orders = new Map<string, Order>()
  /** Given in this round, or found to be somebody else's in spite of the lock. */
  #gone: readonly { readonly space: string; readonly ip: Ip }[] = []

  constructor(store: Store) {
    this.#store = store
  }

  decide(claim: Claim): AttachmentRecord {
    this.#dropExpired(claim)
    const grants = decide(claim.plan, claim.requested, this.#held(claim))
    this.#give(grants)
    return newRecord(claim, grants)
  }

  /** As decide(), for who has a record already: its leases `own` are given again wherever one may be, before any other. */
  decideAgain(claim: Claim, own: readonly Lease[]): AttachmentRecord {
    this.#dropExpired(claim)
    const held = this.#held(claim)
    const isOwn = (space: string, ip: Ip): boolean =>
      own.some((lease) => leaseSpace(lease) === space && sameIp(leaseIp(lease), ip))
    return newRecord(
      claim,
      decide(claim.plan, claim.requested, {
        ...held,
        has: (space, ip) => !isOwn(space, ip) && held.has(space, ip),
        *candidates(range, blocked) {
          for (const ip of own.filter((lease) => leaseSpace(lease) === range.space).map(leaseIp)) {
            if (spanContains(range.span, ip) && !blocked.some((span) => spanContains(span, ip))) yield ip
          }
          yield* held.candidates(range, blocked)
        },
      }),
    )
  }

  /** Grants of an earlier call; decided anew when a claim of this round has one of them, which was free until it is written. */
  takeUp(claim: Claim, grants: readonly Grant[]): AttachmentRecord {
    if (grants.some(({ space, address }) => this.#isGone(space, address.ip))) return this.decide(claim)
    this.#give(grants)
    return newRecord(claim, grants)
  }

  /** The record could not be put because of `taken`: its other addresses are free as before. */
  lose({ leases }: AttachmentRecord, taken: Ip): void {
    const lost = (space: string, ip: Ip): boolean =>
      leases.some((lease) => leaseSpace(lease) === space && sameIp(leaseIp(lease), ip)) && !sameIp(ip, taken)
    this.#gone = this.#gone.filter(({ space, ip }) => !lost(space, ip))
  }

  #give(grants: readonly Grant[]): void {
    this.#gone = [...this.#gone, ...grants.map(({ space, address }) => ({ space, ip: address.ip }))]
  }

  /** An address that somebody names may be kept for too long: nobody else looks at it before the range is full. */
  #dropExpired({ plan, requested, now }: Claim): void {
    if (requested.length === 0 && plan.fixed.length === 0) return
    const spaces = new Set([plan.space, ...plan.rangeSets.flat().map(({ space }) => space)])
    for (const { ip } of requested) {
      for (const space of spaces) this.#store.dropExpired(space, ip, now.getTime())
    }
    for (const { space, address } of plan.fixed) this.#store.dropExpired(space, address.ip, now.getTime())
  }

  #isGone(space: string, ip: Ip): boolean {
    return this.#gone.some((one) => one.space === space && sameIp(one.ip, ip))
  }

  save(): void {
    for (const order of this.#orders.values()) order.save()
  }

  #held({ key, plan, now }: Claim): Held {
    return {
      has: (space, ip) => this.#isGone(space, ip) || this.#store.isHeld(space, ip),
      holder: (space, ip) => {
        const record = this.#store.holder(space, ip)
        return record === undefined ? 'somebody else' : describeKey(recordKey(record))
      },
      candidates: ({ space, span }, blocked) => {
        const name = `${span.family} ${span.first} ${span.last} ${space}`
        const order = this.#orders.get(name) ?? this.#store.order(space, span)
        this.#orders.set(name, order)
        return order.candidates({ key, blocked, coolDownMs: plan.coolDownMs, nowMs: now.getTime() })
      },
    }
  }
}
