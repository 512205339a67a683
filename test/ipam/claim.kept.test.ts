/** Freed addresses rest, and those of some pods are kept for them. */
import { beforeEach, describe, expect, it } from 'vitest'
import { checkFree, claimAddresses, releaseAddresses } from '../../ipam/claim.ts'
import { FileStore } from '../../ipam/ledger/file-store.ts'
import { keyOf } from '../contract/records.ts'
import { ip } from '../shared/addresses.ts'
import { failureOf } from '../shared/failures.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { claimOf, dayMs, node, nowMs } from './claims.ts'
import { planOf, rangeOf } from './plans.ts'

let store: FileStore
beforeEach(() => {
  store = new FileStore(temporaryDirectory())
})

type Wish = Parameters<typeof claimOf>[1]
const claim = (containerId: string, wish: Wish = {}): string[] =>
  claimAddresses(store, claimOf(containerId, wish)).record.leases.map(({ address }) => address)
const release = (containerId: string, atMs = nowMs): boolean =>
  releaseAddresses(store, keyOf(containerId), new Date(atMs))
const isHeld = (address: string): boolean => store.isHeld('default', ip(address))

describe('claimAddresses() of a freed address', () => {
  const tiny = planOf([rangeOf('10.0.0.0/29')])
  const rest = { coolDownMs: 30_000, plan: tiny }

  it('lets it rest for all but who freed it, while others are there', () => {
    claim('a', rest)
    release('a')
    expect(claim('b', { ...rest, atMs: nowMs + 29_000 })).toEqual(['10.0.0.2/29'])
    expect(claim('a', { ...rest, atMs: nowMs + 29_000 })).toEqual(['10.0.0.1/29'])
  })

  it('gives it before the never given ones when it has rested', () => {
    claim('a', rest)
    release('a')
    expect(claim('b', { ...rest, atMs: nowMs + 30_000 })).toEqual(['10.0.0.1/29'])
  })

  it('gives it although it rests when nothing else is left, the longest-freed first', () => {
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) claim(name, rest)
    for (const [index, name] of ['d', 'b'].entries()) release(name, nowMs + index)
    expect([claim('x', rest), claim('y', rest)]).toEqual([['10.0.0.4/29'], ['10.0.0.2/29']])
    expect(failureOf(() => claim('z', rest)).errorName).toBe('ERR_EXHAUSTED')
  })

  it('lets it rest again when it was asked for meanwhile', () => {
    claim('a', rest)
    release('a', nowMs - dayMs)
    claim('b', { ...rest, asked: ['10.0.0.1'] })
    release('b')
    expect(claim('c', rest)).toEqual(['10.0.0.2/29'])
  })

  it('gives a reserved one to who asks for it only, freed or not', () => {
    const plan = planOf([rangeOf('10.0.0.0/29', { reserved: ['10.0.0.1'] })])
    expect(claim('a', { plan, asked: ['10.0.0.1'] })).toEqual(['10.0.0.1/29'])
    release('a')
    expect(claim('a', { plan })).toEqual(['10.0.0.2/29'])
    expect(['b', 'c', 'd', 'e'].map((name) => claim(name, { plan })[0])).not.toContain('10.0.0.1/29')
    expect(failureOf(() => claim('f', { plan })).errorName).toBe('ERR_EXHAUSTED')
    expect(claim('g', { plan, asked: ['10.0.0.1'] })).toEqual(['10.0.0.1/29'])
  })

  it('gives a freed one to nobody when the range excludes it by now', () => {
    claim('a', { plan: tiny })
    release('a')
    expect(claim('b', { plan: planOf([rangeOf('10.0.0.0/29', { excluded: ['10.0.0.1'] })]) })).toEqual(['10.0.0.2/29'])
  })
})

describe('claimAddresses() for a pod whose addresses are kept', () => {
  const sticky = { pod: 'web-0', keepMs: dayMs, coolDownMs: 30_000 }

  it('gives the next container of the pod what the last one had, again and again', () => {
    claim('x')
    expect(claim('a', sticky)).toEqual(['10.0.0.3/24'])
    for (const [from, to] of [
      ['a', 'b'],
      ['b', 'c'],
    ] as const) {
      expect(release(from)).toBe(true)
      expect(claim('y', { pod: 'web-1', keepMs: dayMs, ifName: `y-${from}` })).not.toContain('10.0.0.3/24')
      expect(claim(to, sticky)).toEqual(['10.0.0.3/24'])
    }
    expect([store.list().kept, store.inspect()]).toEqual([[], []])
  })

  it('gives them to no pod whose name is so long that it is kept under the same one', () => {
    // Cut at the same byte, and of one CRC-32.
    const [one, other] = [`${'a'.repeat(240)}c50963c80102`, `${'a'.repeat(240)}d3f504638284`]
    claim('a', { ...sticky, pod: one })
    release('a')
    expect(store.list().kept).toHaveLength(1)
    expect(claim('b', { ...sticky, pod: other })).toEqual(['10.0.0.3/24'])
    expect(claim('c', { ...sticky, pod: other, ifName: 'net2' })).not.toContain('10.0.0.3/24')
  })

  it.each<[string, Wish]>([
    ['by a pod of another name', { pod: 'web-1', keepMs: dayMs }],
    ['by a pod that keeps nothing', { pod: 'web-0' }],
    ['by nobody known', { keepMs: dayMs }],
  ])('gives them to nobody else when they are claimed %s, even by name', (_, wish) => {
    claim('a', sticky)
    release('a')
    expect(claim('b', wish)).toEqual(['10.0.0.3/24'])
    expect(failureOf(() => claim('c', { ...wish, asked: ['10.0.0.2'] })).errorName).toBe('ERR_TAKEN')
  })

  it.each<[string, Wish, string[]]>([
    ['has another range', { plan: planOf([rangeOf('10.9.0.0/24')]) }, ['10.9.0.1/24']],
    ['excludes them', { plan: planOf([rangeOf('10.0.0.0/24', { excluded: ['10.0.0.2'] })]) }, ['10.0.0.3/24']],
    ['asks for another one', { asked: ['10.0.0.9'] }, ['10.0.0.9/24']],
    [
      'has one range more',
      { plan: planOf([rangeOf('10.0.0.0/24'), rangeOf('fd00::/64')]) },
      ['10.0.0.3/24', 'fd00::1/64'],
    ],
  ])('gives up what is kept when the pod %s now', (_, wish, addresses) => {
    claim('a', sticky)
    release('a')
    expect(claim('b', { ...sticky, ...wish })).toEqual(addresses)
    expect([isHeld('10.0.0.2'), store.list().kept, store.inspect()]).toEqual([false, [], []])
  })

  it('gives what the pod gives up to the pod itself when the range has nothing else', () => {
    const plan = planOf([rangeOf('10.0.0.0/31')])
    claim('a', { ...sticky, plan })
    claim('b', { plan })
    release('a')
    const wider = planOf([rangeOf('10.0.0.0/31'), rangeOf('fd00::/64')])
    expect(claim('c', { ...sticky, plan: wider })).toEqual(['10.0.0.0/31', 'fd00::1/64'])
  })

  it('gives them up when the pod comes back too late', () => {
    claim('a', sticky)
    release('a')
    claim('x')
    expect(claim('b', { ...sticky, atMs: nowMs + dayMs + 1000 })).toEqual(['10.0.0.4/24'])
    expect([isHeld('10.0.0.2'), store.list().kept]).toEqual([false, []])
  })

  it.each([-dayMs, dayMs - 1000])('gives them back when the clock says %i ms after the release', (byMs) => {
    claim('a', sticky)
    release('a')
    expect(claim('b', { ...sticky, atMs: nowMs + byMs })).toEqual(['10.0.0.2/24'])
  })

  it('gives what was kept too long to another when the range has nothing else', () => {
    const plan = planOf([rangeOf('10.0.0.0/31')])
    claim('a', { ...sticky, plan })
    claim('b', { plan })
    release('a')
    expect(failureOf(() => claim('c', { plan, atMs: nowMs + dayMs - 1000 })).errorName).toBe('ERR_EXHAUSTED')
    expect(claim('c', { plan, atMs: nowMs + dayMs + 1000 })).toEqual(['10.0.0.0/31'])
  })

  it('gives them back after a restart, to another container of the pod', () => {
    claim('a', sticky)
    expect(claim('b', { ...sticky, node: { ...node, bootId: 'boot-2' } })).toEqual(['10.0.0.2/24'])
    expect(store.list().records.map(({ containerId }) => containerId)).toEqual(['b'])
  })

  it('takes what the config asks for by name before what is kept', () => {
    claim('a', sticky)
    release('a')
    expect(claim('b', { ...sticky, asked: ['10.0.0.2'] })).toEqual(['10.0.0.2/24'])
  })
})

describe('claimAddresses() at the first claim after a restart', () => {
  it('releases what earlier boots left, for this claim to use', () => {
    const plan = planOf([rangeOf('10.0.0.0/31')])
    for (const name of ['a', 'b']) claim(name, { plan })
    expect(claim('c', { plan, node: { ...node, bootId: 'boot-2' } })).toHaveLength(1)
    expect(store.list().records.map(({ containerId }) => containerId)).toEqual(['c'])
    expect(store.lastBoot('node-1')).toBe('boot-2')
  })
})

describe('checkFree()', () => {
  const plan = planOf([rangeOf('10.0.0.0/31'), rangeOf('fd00::/127')])
  const check = (): void => checkFree(store, 'storage', plan, node, new Date(nowMs))

  it('says nothing and uses nothing up while every range has an address', () => {
    for (let time = 0; time < 5; time++) check()
    expect(claim('a', { plan })).toEqual(['10.0.0.0/31', 'fd00::/127'])
  })

  it('fails with ERR_EXHAUSTED when one of the ranges has none', () => {
    for (const name of ['a', 'b']) claim(name, { plan: planOf([rangeOf('fd00::/127')]) })
    expect(failureOf(check)).toMatchObject({
      errorName: 'ERR_EXHAUSTED',
      message: expect.stringContaining('fd00::/127'),
    })
  })
})
