import { statSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Living } from '../../shared/host/living.ts'
import { Holdings, isInUse, reclaim, sweepVfs } from '../../vf/index.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { holdingOf } from './sample.ts'

let holdings: Holdings
let held: string[]

const hold = ({ containerId }: { containerId: string }): Disposable => {
  held.push(containerId)
  return { [Symbol.dispose]: () => held.push(`no ${containerId}`) }
}

const own = '/proc/self/ns/net'
const ownNetns = () => ({ path: own, dev: statSync(own).dev, ino: statSync(own).ino })
const sees =
  (more: Partial<Living>): (() => Living) =>
  () => ({ find: () => undefined, complete: true, ...more })

beforeEach(() => {
  holdings = new Holdings(temporaryDirectory(), () => false)
  held = []
})

describe('isInUse()', () => {
  it('says yes while the path leads to the namespace, and whenever it cannot be known', () => {
    expect(isInUse(holdingOf({ netns: ownNetns() }), sees({}))).toBe(true)
    expect(isInUse(holdingOf(), sees({ complete: false }))).toBe(true)
  })

  it('says no when nobody was seen in the namespace, and of an earlier boot', () => {
    expect(isInUse(holdingOf(), sees({}))).toBe(false)
    expect(isInUse(holdingOf({ netns: ownNetns(), bootId: 'earlier' }), sees({ complete: false }))).toBe(false)
  })

  it('goes by the namespace alone when there is no interface in it', () => {
    const { netdev: _, ...withoutNetdev } = holdingOf()
    expect(isInUse(withoutNetdev, sees({ find: () => '/proc/1/ns/net' }))).toBe(true)
    expect(isInUse(withoutNetdev, sees({}))).toBe(false)
  })
})

describe('reclaim()', () => {
  it('holds the call of whoever had the VF, and looks again within', async () => {
    const earlier = holdingOf({ bootId: 'earlier' })
    await holdings.create(earlier)
    expect(await reclaim(holdings, holdingOf({ heldSince: 'another time' }), hold)).toBe(false)
    expect(await reclaim(holdings, earlier, hold)).toBe(true)
    expect(held).toEqual(['ctr-1', 'no ctr-1', 'ctr-1', 'no ctr-1'])
    expect(holdings.list().holdings).toEqual([])
    expect(await reclaim(holdings, earlier, hold)).toBe(false)
  })

  it('leaves alone what is in use', async () => {
    await holdings.create(holdingOf({ netns: ownNetns() }))
    expect(await reclaim(holdings, holdingOf({ netns: ownNetns() }), hold)).toBe(false)
    // Nor does it wait for the call of whoever has it.
    expect(held).toEqual([])
    expect(holdings.list().holdings).toHaveLength(1)
  })
})

describe('sweepVfs()', () => {
  const wish = { nowMs: 1_000_000, graceMs: 60_000, dryRun: false, hold }

  it('removes what an earlier boot left at once, and only says so when asked to', async () => {
    await holdings.create(holdingOf({ bootId: 'earlier' }))
    expect(await sweepVfs(holdings, { ...wish, dryRun: true })).toMatchObject({ restored: [{}], waiting: [] })
    expect(holdings.list().holdings).toHaveLength(1)
    expect(await sweepVfs(holdings, wish)).toMatchObject({ restored: [{}], waiting: [], failed: [], damaged: [] })
    expect(holdings.list().holdings).toEqual([])
    expect(await sweepVfs(holdings, wish)).toEqual({ restored: [], waiting: [], failed: [], damaged: [] })
  })

  it('waits for a second look after the grace period, however often it looks before', async () => {
    // On a device that is gone by now there is nothing to restore.
    await holdings.create(holdingOf())
    const look = async (nowMs: number) => {
      const { restored, waiting } = await sweepVfs(holdings, { ...wish, nowMs })
      return [restored.length, waiting.length]
    }
    expect(await look(1_000_000)).toEqual([0, 1])
    expect(await look(1_059_999)).toEqual([0, 1])
    // The clock was set back.
    expect(await look(900_000)).toEqual([0, 1])
    expect(await look(960_000)).toEqual([1, 0])
    expect(await look(970_000)).toEqual([0, 0])
  })
})
