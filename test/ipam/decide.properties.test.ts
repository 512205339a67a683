/** What must hold of every decision, whatever the plan and whoever holds what. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decide, type Grant, grantAgain, type Held } from '../../ipam/decide.ts'
import type { Plan, Range } from '../../ipam/plan.ts'
import { cidrSpan, formatIp, type Ip, sameIp, spanContains } from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { fixedOf, heldOf, planOf, rangeOf, requestedOf } from './plans.ts'

/** Small subnets far apart, so that ranges get full and overlap only when a test means it. */
const subnets = ['10.0.0.0/28', '10.1.0.0/30', '10.2.0.0/31', '10.3.0.0/32', 'fd00::/124', 'fd01::/127', 'fd02::/64']
const hostOf = (subnet: string, host: number): string => {
  const { family, first, last } = cidrSpan(rangeOf(subnet).network)
  const value = first + BigInt(host)
  return formatIp({ family, value: value > last ? last : value })
}

const host = fc.nat(16)
const rangeIn = (subnet: string): fc.Arbitrary<Range> =>
  fc
    .record({ gateway: fc.option(host, { nil: undefined }), excluded: fc.array(host, { maxLength: 6 }) })
    .map(({ gateway, excluded }) =>
      rangeOf(subnet, {
        excluded: excluded.map((one) => hostOf(subnet, one)),
        ...(gateway === undefined ? {} : { gateway: hostOf(subnet, gateway) }),
      }),
    )

const anyRange = fc.constantFrom(...subnets).chain(rangeIn)
const places = fc.tuple(fc.constantFrom(...subnets), host)
const situations = fc.record({
  ranges: fc.uniqueArray(anyRange, { minLength: 1, maxLength: 4, selector: ({ text }) => text }),
  held: fc.array(places, { maxLength: 20 }),
  requested: fc.array(places, { maxLength: 2 }),
})
type Situation = typeof situations extends fc.Arbitrary<infer T> ? T : never

interface Decision {
  readonly plan: Plan
  readonly held: Held
  readonly requested: readonly string[]
  readonly grants: readonly Grant[] | undefined
}

const texts = (pairs: readonly [string, number][]): string[] => pairs.map(([subnet, one]) => hostOf(subnet, one))

function decided({ ranges, held, requested }: Situation): Decision {
  const situation = { plan: planOf(ranges), held: heldOf(...texts(held)), requested: texts(requested) }
  try {
    return { ...situation, grants: decide(situation.plan, requestedOf(...situation.requested), situation.held) }
  } catch (error) {
    expect(error).toBeInstanceOf(CniError)
    return { ...situation, grants: undefined }
  }
}

describe('decide()', () => {
  it('grants addresses of the plan that nobody has, none twice, when it grants at all', () => {
    let grantedTimes = 0
    fc.assert(
      fc.property(situations, (situation) => {
        const { plan, held, requested, grants } = decided(situation)
        if (grants === undefined) return
        grantedTimes++
        const addresses = grants.map(({ address }) => formatIp(address.ip))
        expect(new Set(addresses).size).toBe(addresses.length)
        expect(addresses).toEqual(expect.arrayContaining([...requested]))
        for (const { range: text, address } of grants) {
          const range = plan.rangeSets.flat().find((one) => one.text === text)
          expect(range?.network.prefix).toBe(address.prefix)
          expect(range !== undefined && spanContains(cidrSpan(range.network), address.ip)).toBe(true)
          expect(range?.excluded.some((span) => spanContains(span, address.ip))).toBe(false)
          expect(range?.gateway !== undefined && sameIp(range.gateway, address.ip)).toBe(false)
          expect(held.has('default', address.ip)).toBe(false)
        }
      }),
      { numRuns: 2000 },
    )
    expect(grantedTimes).toBeGreaterThan(300)
  })

  it('grants nothing twice when several ranges share a subnet', () => {
    const shared = fc.record({
      ranges: fc.array(rangeIn('10.0.0.0/28'), { minLength: 2, maxLength: 5 }),
      held: fc.array(places),
      requested: fc.array(places, { maxLength: 1 }),
    })
    fc.assert(
      fc.property(shared, (situation) => {
        const { held, grants } = decided(situation)
        const addresses = (grants ?? []).map(({ address }) => address.ip)
        expect(new Set(addresses.map(formatIp)).size).toBe(addresses.length)
        expect(addresses.some((ip) => held.has('default', ip))).toBe(false)
      }),
      { numRuns: 1000 },
    )
  })

  it('gives every range an address until one is full, and only then says so', () => {
    fc.assert(
      fc.property(fc.constantFrom(...subnets.slice(0, 6)).chain(rangeIn), (range) => {
        const plan = planOf([range])
        const taken: string[] = []
        let failure: unknown
        while (failure === undefined) {
          try {
            taken.push(...decide(plan, [], heldOf(...taken)).map(({ address }) => formatIp(address.ip)))
          } catch (error) {
            failure = error
          }
        }
        const { family, first, last } = range.span
        const free = Array.from(
          { length: Number(last - first) + 1 },
          (_, index): Ip => ({ family, value: first + BigInt(index) }),
        )
          .filter((ip) => !range.excluded.some((span) => spanContains(span, ip)))
          .filter((ip) => range.gateway === undefined || !sameIp(range.gateway, ip))
        expect(taken).toEqual(free.map(formatIp))
        expect(failure).toMatchObject({ errorName: 'ERR_EXHAUSTED' })
      }),
      { numRuns: 300 },
    )
  })

  it('is answered by what it granted itself', () => {
    fc.assert(
      fc.property(situations, (situation) => {
        const { plan, requested, grants } = decided(situation)
        if (grants === undefined) return
        const own = grants.map(({ address }) => address.ip)
        expect(grantAgain(plan, requestedOf(...requested), own)).toEqual(grants)
        expect(grantAgain(plan, requestedOf(...requested), own.slice(1))).toBeUndefined()
      }),
      { numRuns: 1000 },
    )
  })
})

describe('grantAgain()', () => {
  const plan = planOf([rangeOf('10.0.0.0/24'), rangeOf('fd00::/64')], [fixedOf('10.9.0.7/16')])
  const own = ['10.0.0.5', 'fd00::5', '10.9.0.7']
  const judge = (plan_: Plan, requested: readonly string[], held: readonly string[]): boolean =>
    grantAgain(
      plan_,
      requestedOf(...requested),
      requestedOf(...held).map(({ ip }) => ip),
    ) !== undefined

  it.each<[string, string[], string[], boolean]>([
    ['what the plan gives', [], own, true],
    ['what the plan gives, in another order', [], [...own].reverse(), true],
    ['what was requested', ['fd00::5'], own, true],
    ['another address than the one requested', ['fd00::6'], own, false],
    ['one address too few', [], own.slice(0, 2), false],
    ['one address too many', [], [...own, '10.0.0.6'], false],
    ['an address of another subnet', [], ['10.1.0.5', 'fd00::5', '10.9.0.7'], false],
    ['another fixed address', [], ['10.0.0.5', 'fd00::5', '10.9.0.8'], false],
    ['another fixed address that was requested', ['10.9.0.8'], ['10.0.0.5', 'fd00::5', '10.9.0.8'], true],
    ['nothing', [], [], false],
  ])('judges %s', (_, requested, held, verdict) => {
    expect(judge(plan, requested, held)).toBe(verdict)
  })

  it.each<[string, string[], string[], boolean]>([
    ['nothing', [], [], true],
    ['what was requested', ['10.0.0.5/24'], ['10.0.0.5'], true],
    ['something', [], ['10.0.0.5'], false],
  ])('judges %s when the plan has no range', (_, requested, held, verdict) => {
    expect(judge(planOf([]), requested, held)).toBe(verdict)
  })

  it('counts an address for one range only when two have the same subnet', () => {
    const twice = planOf([rangeOf('10.0.0.0/24'), rangeOf('10.0.0.0/24')])
    expect(judge(twice, [], ['10.0.0.1', '10.0.0.2'])).toBe(true)
    expect(judge(twice, [], ['10.0.0.1'])).toBe(false)
  })
})
