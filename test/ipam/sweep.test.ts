import { readdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { FileStore } from '../../ipam/ledger/file-store.ts'
import type { AttachmentRecord } from '../../ipam/ledger/record.ts'
import { type SweepWish, sweep, sweepEarlierBoots } from '../../ipam/sweep.ts'
import { keyOf, recordOf } from '../contract/records.ts'
import { ip } from '../shared/addresses.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { alive, dayMs, gone, node, nowMs } from './claims.ts'

const graceMs = 60_000

class SharedStore extends FileStore {
  override get shared(): boolean {
    return true
  }
}

let dataDir: string
let store: FileStore
beforeEach(() => {
  dataDir = temporaryDirectory()
  store = new FileStore(dataDir)
})

const put = (...records: AttachmentRecord[]): void => void store.locked(() => store.put(records))
const look = (atMs: number, wish: Partial<SweepWish> = {}) => {
  const swept = sweep(store, { node, nowMs: atMs, graceMs, inUse: () => false, ...wish })
  const ids = (records: readonly AttachmentRecord[]) => records.map(({ containerId }) => containerId).sort()
  return [ids(swept.released), ids(swept.waiting), ids(swept.expired.map(({ record }) => record))]
}
const listed = (): string[] => store.list().records.map(({ containerId }) => containerId)

describe('sweep() of an attachment whose namespace is gone', () => {
  beforeEach(() => put(recordOf(keyOf('dead'), ['10.0.0.2/24'], { netns: gone })))

  it('waits at the first look and releases at the first one after the grace period', () => {
    expect(look(nowMs)).toEqual([[], ['dead'], []])
    expect(look(nowMs + graceMs - 1)).toEqual([[], ['dead'], []])
    expect(look(nowMs + graceMs)).toEqual([['dead'], [], []])
    expect([look(nowMs + graceMs), listed(), store.isHeld('default', ip('10.0.0.2'))]).toEqual([
      [[], [], []],
      [],
      false,
    ])
  })

  it('releases at the second look when there is no grace, never at the first', () => {
    expect(look(nowMs, { graceMs: 0 })).toEqual([[], ['dead'], []])
    expect(look(nowMs, { graceMs: 0 })).toEqual([['dead'], [], []])
  })

  it('starts anew when the same attachment was claimed again meanwhile', () => {
    look(nowMs)
    store.locked(() => store.remove(keyOf('dead'), nowMs))
    put({ ...recordOf(keyOf('dead'), ['10.0.0.2/24'], { netns: gone }), claimedAt: '2026-02-02T03:04:05.678Z' })
    expect(look(nowMs + dayMs)).toEqual([[], ['dead'], []])
    expect(look(nowMs + dayMs + graceMs)).toEqual([['dead'], [], []])
  })

  it('starts anew when it was in use at a look between', () => {
    look(nowMs)
    expect(look(nowMs + dayMs, { inUse: () => true })).toEqual([[], [], []])
    expect(look(nowMs + 2 * dayMs)).toEqual([[], ['dead'], []])
  })

  it('starts anew when what it noted is lost or damaged', () => {
    look(nowMs)
    writeFileSync(`${dataDir}/sweep`, 'x')
    expect(look(nowMs + dayMs)).toEqual([[], ['dead'], []])
    unlinkSync(`${dataDir}/sweep`)
    expect(look(nowMs + 2 * dayMs)).toEqual([[], ['dead'], []])
  })

  it('waits for the whole grace period again when the clock was set back by a day', () => {
    look(nowMs)
    expect(look(nowMs - dayMs)).toEqual([[], ['dead'], []])
    expect(look(nowMs - dayMs + graceMs - 1)).toEqual([[], ['dead'], []])
    expect(look(nowMs - dayMs + graceMs)).toEqual([['dead'], [], []])
  })

  it('asks only about those whose path tells that they are gone whether they are in use', () => {
    put(recordOf(keyOf('living'), [], { netns: alive }), recordOf(keyOf('rebooted'), [], { netns: gone, bootId: 'b' }))
    const asked: string[] = []
    look(nowMs, { inUse: ({ containerId }) => asked.push(containerId) > 0 })
    expect(asked).toEqual(['dead'])
  })
})

describe('sweep() while others go on', () => {
  const dead = recordOf(keyOf('dead'), ['10.0.0.2/24'], { netns: gone })
  beforeEach(() => {
    put(dead)
    look(nowMs)
  })

  it('reads without the lock: a claim is made meanwhile', () => {
    const other = new FileStore(dataDir, { waitMs: 0 })
    const claim = () => other.locked(() => other.put([recordOf(keyOf('other'), ['10.0.0.3/24'], { netns: alive })]))
    let claimed = false
    const inUse = () => {
      if (!claimed) claim()
      claimed = true
      return false
    }
    expect(look(nowMs + graceMs, { inUse })).toEqual([['dead'], [], []])
    expect(listed()).toEqual(['other'])
  })

  it('leaves what was claimed anew since it looked', () => {
    let again = false
    const inUse = () => {
      if (again) return false
      again = true
      store.locked(() => store.remove(keyOf('dead'), nowMs))
      put({ ...dead, claimedAt: '2026-02-02T03:04:05.678Z' })
      return false
    }
    expect(look(nowMs + graceMs, { inUse })).toEqual([[], [], []])
    expect(listed()).toEqual(['dead'])
  })

  it('leaves what came into use since it looked', () => {
    let looks = 0
    expect(look(nowMs + graceMs, { inUse: () => ++looks > 1 })).toEqual([[], [], []])
    expect(listed()).toEqual(['dead'])
  })

  it('remembers its first looks when a release fails', () => {
    class Failing extends FileStore {
      override remove(): boolean {
        throw new Error('no')
      }
    }
    const failing = new Failing(dataDir)
    expect(() => sweep(failing, { node, nowMs: nowMs + graceMs, graceMs, inUse: () => false })).toThrow('no')
    expect(look(nowMs + graceMs)).toEqual([['dead'], [], []])
  })
})

describe('sweep() of others', () => {
  it('leaves what is alive, whatever the clock says', () => {
    put(recordOf(keyOf('living'), ['10.0.0.2/24'], { netns: alive }))
    for (const atMs of [nowMs, nowMs + dayMs, nowMs - dayMs]) expect(look(atMs)).toEqual([[], [], []])
    expect(listed()).toEqual(['living'])
  })

  it('releases at once what is of an earlier boot', () => {
    put(recordOf(keyOf('rebooted'), ['10.0.0.2/24'], { netns: alive, bootId: 'boot-0' }))
    expect(look(nowMs)).toEqual([['rebooted'], [], []])
    expect(listed()).toEqual([])
  })

  it('leaves what another host has in a store that hosts share', () => {
    store = new SharedStore(dataDir)
    put(
      recordOf(keyOf('theirs'), ['10.0.0.2/24'], { netns: gone, host: 'node-2' }),
      recordOf(keyOf('rebooted'), ['10.0.0.3/24'], { netns: gone, host: 'node-2', bootId: 'boot-9' }),
      recordOf(keyOf('ours'), ['10.0.0.4/24'], { netns: gone, bootId: 'boot-0' }),
    )
    for (const atMs of [nowMs, nowMs + dayMs]) look(atMs)
    expect(listed().sort()).toEqual(['rebooted', 'theirs'])
  })

  it('goes by the boot and not by the name of the host in a store of its own: a host may be renamed', () => {
    put(recordOf(keyOf('a'), ['10.0.0.2/24'], { netns: gone, host: 'old-name', bootId: 'boot-0' }))
    expect(look(nowMs)).toEqual([['a'], [], []])
  })

  it('releases what was kept for longer than its time, and not before', () => {
    put(recordOf(keyOf('a'), ['10.0.0.2/24'], { keepMs: 5000, pod: { namespace: 'ns', name: 'pod' }, netns: alive }))
    store.locked(() => store.remove(keyOf('a'), nowMs))
    expect(look(nowMs + 4000)).toEqual([[], [], []])
    expect(store.isHeld('default', ip('10.0.0.2'))).toBe(true)
    expect(look(nowMs + 6000)).toEqual([[], [], ['a']])
    expect(store.isHeld('default', ip('10.0.0.2'))).toBe(false)
  })

  it('keeps what is kept since a time to come from now on, when the clock was set back', () => {
    put(recordOf(keyOf('a'), ['10.0.0.2/24'], { keepMs: 5000, pod: { namespace: 'ns', name: 'pod' }, netns: alive }))
    store.locked(() => store.remove(keyOf('a'), nowMs))
    const earlierMs = nowMs - dayMs
    sweep(store, { node, nowMs: earlierMs, graceMs, inUse: () => false, dryRun: true })
    expect(store.list().kept[0]?.sinceMs).toBe(nowMs)
    expect(look(earlierMs)).toEqual([[], [], []])
    expect(store.list().kept[0]?.sinceMs).toBe(earlierMs)
    expect(look(earlierMs + 6000)).toEqual([[], [], ['a']])
  })

  it('keeps what a pod left that keeps its addresses, when its namespace is gone', () => {
    const sticky = { keepMs: dayMs, pod: { namespace: 'ns', name: 'pod' } }
    put(recordOf(keyOf('a'), ['10.0.0.2/24'], { ...sticky, netns: gone }))
    look(nowMs)
    expect(look(nowMs + graceMs)).toEqual([['a'], [], []])
    expect([listed(), store.isHeld('default', ip('10.0.0.2')), store.list().kept.length]).toEqual([[], true, 1])
  })

  it('names what is damaged and removes what killed calls left', () => {
    put(recordOf(keyOf('a'), ['10.0.0.2/24'], { netns: alive }))
    writeFileSync(`${dataDir}/leases/storage,a,net1`, 'x')
    writeFileSync(`${dataDir}/leases/.new,storage,b,net1`, '')
    const { damaged, leftOver } = sweep(store, { node, nowMs, graceMs, inUse: () => false })
    expect([damaged, leftOver]).toEqual([['storage,a,net1'], ['.new,storage,b,net1']])
    expect(store.isHeld('default', ip('10.0.0.2'))).toBe(true)
  })

  it('makes no directory when nothing was ever claimed', () => {
    expect(look(nowMs)).toEqual([[], [], []])
    expect(readdirSync(dataDir)).toEqual([])
  })

  it('releases the others, and then fails, when one cannot be released', () => {
    class Stuck extends FileStore {
      override remove(key: Parameters<FileStore['remove']>[0], atMs: number): boolean {
        if (key.containerId === 'b') throw new TypeError('stuck')
        return super.remove(key, atMs)
      }
    }
    store = new Stuck(dataDir)
    for (const name of ['a', 'b', 'c']) put(recordOf(keyOf(name), [], { bootId: 'boot-0' }))
    expect(() => look(nowMs)).toThrow('stuck')
    expect(listed()).toEqual(['b'])
  })
})

describe('sweepEarlierBoots()', () => {
  const run = (bootId = 'boot-1', host = 'node-1'): string[] =>
    store
      .locked(() => sweepEarlierBoots(store, { host, bootId }, nowMs))
      .map(({ containerId }) => containerId)
      .sort()

  it('releases what is of another boot once, at the first call of a boot', () => {
    put(recordOf(keyOf('old'), ['10.0.0.2/24'], { bootId: 'boot-0' }), recordOf(keyOf('new'), ['10.0.0.3/24']))
    expect([run(), listed(), store.lastBoot('node-1')]).toEqual([['old'], ['new'], 'boot-1'])
    put(recordOf(keyOf('late'), [], { bootId: 'boot-0' }))
    expect([run(), run('boot-2')]).toEqual([[], ['late', 'new']])
  })

  it('releases only what is of this host in a store that hosts share, each host once', () => {
    store = new SharedStore(dataDir)
    put(
      recordOf(keyOf('ours'), [], { bootId: 'boot-0' }),
      recordOf(keyOf('theirs'), [], { bootId: 'boot-9', host: 'node-2' }),
    )
    expect([run(), run('boot-10', 'node-2'), listed()]).toEqual([['ours'], ['theirs'], []])
  })
})
