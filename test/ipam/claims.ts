/** Claims of the tests, and namespaces that are alive or gone. */
import { statSync } from 'node:fs'
import type { Claim } from '../../ipam/claim.ts'
import { keyOf } from '../contract/records.ts'
import { planOf, rangeOf, requestedOf } from './plans.ts'

const { dev, ino } = statSync('/proc/self/ns/net')
/** The namespace of this very process is alive as long as the test runs. */
export const alive = { path: '/proc/self/ns/net', dev, ino }
export const gone = { path: '/nowhere/ns/net', dev, ino }

export const link = { index: 1_048_577, mac: '02:00:00:00:00:01' }
export const node = { host: 'node-1', bootId: 'boot-1' }
export const nowMs = Date.parse('2026-01-02T03:04:05.678Z')
export const dayMs = 86_400_000

export const ranges = [rangeOf('10.0.0.0/24', { gateway: '10.0.0.1' })]

interface Wish extends Partial<Pick<Claim, 'plan' | 'node'>> {
  readonly network?: string
  readonly ifName?: string
  readonly asked?: readonly string[]
  /** The name of the pod, in the namespace `ns`. */
  readonly pod?: string
  readonly atMs?: number
  readonly keepMs?: number
  readonly coolDownMs?: number
}

/** A claim of this container, of a range of a /24 whose gateway is the first address unless it says otherwise. */
export function claimOf(containerId: string, wish: Wish = {}): Claim {
  const { plan = planOf(ranges), asked = [], pod, atMs = nowMs, coolDownMs = 0, keepMs, ...rest } = wish
  return {
    key: keyOf(containerId, rest),
    plan: { ...plan, coolDownMs, keepMs },
    requested: requestedOf(...asked),
    link,
    netns: alive,
    ...(pod === undefined ? {} : { pod: { namespace: 'ns', name: pod } }),
    node: wish.node ?? node,
    now: new Date(atMs),
  }
}
