/** Claims that meet what a killed process or a caller without the lock left. */
import { mkdirSync, readdirSync, statSync, symlinkSync, unlinkSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { type Claimed, claimAddresses, releaseAddresses } from '../../ipam/claim.ts'
import { FileStore } from '../../ipam/ledger/file-store.ts'
import { type AttachmentRecord, recordKey } from '../../ipam/ledger/record.ts'
import { collectGarbage } from '../../ipam/sweep.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import { keyOf, recordOf } from '../contract/records.ts'
import { failureOf } from '../shared/failures.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { planOf, rangeOf, requestedOf } from './plans.ts'

let dataDir: string
let store: FileStore
beforeEach(() => {
  dataDir = temporaryDirectory()
  store = new FileStore(dataDir)
})

const { dev, ino } = statSync('/proc/self/ns/net')
const alive = { path: '/proc/self/ns/net', dev, ino }
const gone = { path: '/nowhere/ns/net', dev, ino }
const key = keyOf('ctr-1')
const node = { host: 'node-1', bootId: 'boot-1' }
const now = new Date('2026-01-02T03:04:05.678Z')
const namesOf = (): string[] => readdirSync(`${dataDir}/leases`).sort()
const put = (record: AttachmentRecord): void => void store.locked(() => store.put([record]))

const claim = (...asked: string[]): Claimed =>
  claimAddresses(store, {
    key,
    plan: planOf([rangeOf('10.0.0.0/24')]),
    requested: requestedOf(...asked),
    netns: alive,
    node,
    now,
  })
const addressesOf = ({ record }: Claimed): string[] => record.leases.map(({ address }) => address)

describe('claimAddresses() after a put() that was cut short', () => {
  const cutShort = (record: AttachmentRecord): void => {
    put(record)
    unlinkSync(`${dataDir}/leases/10.0.0.1`)
  }

  it('completes it and gives its answer when the address is still free', () => {
    const record = recordOf(key, ['10.0.0.1/24'], { netns: alive })
    cutShort(record)
    expect(claim()).toEqual({ record, fresh: false })
    expect(namesOf()).toEqual(['10.0.0.1', 'storage,ctr-1,net1'])
  })

  it('claims another address when it has gone to somebody else and the namespace is gone', () => {
    cutShort(recordOf(key, ['10.0.0.1/24'], { netns: gone }))
    const other = recordOf(keyOf('ctr-2'), ['10.0.0.1/24'])
    put(other)
    const answer = claim()
    expect([addressesOf(answer), answer.fresh]).toEqual([['10.0.0.2/24'], true])
    expect(store.find(keyOf('ctr-2'))).toEqual(other)
  })

  it('claims another address when it has gone to somebody else and the namespace is alive', () => {
    cutShort(recordOf(key, ['10.0.0.1/24'], { netns: alive }))
    put(recordOf(keyOf('ctr-2'), ['10.0.0.1/24']))
    expect(addressesOf(claim())).toEqual(['10.0.0.2/24'])
  })
})

describe('claimAddresses() beside a caller who ignores the lock', () => {
  /** Addresses that look free and cannot be had: what a claim meets that another wins between its look and its link. */
  const snatched = (count: number): void => {
    mkdirSync(`${dataDir}/leases`)
    for (let host = 1; host <= count; host++) symlinkSync('/nowhere/lease', `${dataDir}/leases/10.0.0.${host}`)
  }

  it('claims the next free address when the first ones are lost', () => {
    snatched(16)
    expect(addressesOf(claim())).toEqual(['10.0.0.17/24'])
  })

  it('claims the next free address when its own is lost while it is taken up after a restart', () => {
    put(recordOf(key, ['10.0.0.1/24'], { netns: alive, bootId: 'boot-0' }))
    // The moment between giving the old record up and putting the new one.
    class Snatched extends FileStore {
      override remove(removed: AttachmentKey, nowMs: number): boolean {
        const found = super.remove(removed, nowMs)
        symlinkSync('/nowhere/lease', `${dataDir}/leases/10.0.0.1`)
        return found
      }
    }
    store = new Snatched(dataDir)
    const answer = claim()
    expect([addressesOf(answer), store.find(key)]).toEqual([['10.0.0.2/24'], answer.record])
    expect(namesOf()).toEqual(['10.0.0.1', '10.0.0.2', 'storage,ctr-1,net1'])
  })

  it('gives up and holds nothing when it loses every time', () => {
    snatched(17)
    const names = namesOf()
    const failure = failureOf(() => claim())
    expect([failure.errorName, failure.code]).toEqual(['ERR_TRY_AGAIN', 11])
    expect(failure.message).toContain('"ctr-1/net1" of network "storage"')
    expect(namesOf()).toEqual(names)
  })

  it('says that it is taken when a requested address is lost', () => {
    snatched(1)
    expect(failureOf(() => claim('10.0.0.1'))).toMatchObject({
      errorName: 'ERR_TAKEN',
      message: 'Cannot claim "10.0.0.1": held by somebody else',
    })
  })
})

describe('releaseAddresses()', () => {
  it('says no and makes no directory when nothing was ever claimed', () => {
    expect(releaseAddresses(store, key, now)).toBe(false)
    expect(readdirSync(dataDir)).toEqual([])
  })

  it('releases what the attachment holds, once', () => {
    put(recordOf(key, ['10.0.0.1/24', 'fd00::1/64'], { netns: alive }))
    expect(releaseAddresses(store, keyOf('ctr-2'), now)).toBe(false)
    expect(releaseAddresses(store, key, now)).toBe(true)
    expect(releaseAddresses(store, key, now)).toBe(false)
    expect(namesOf()).toEqual([])
  })

  it('releases what a damaged record holds', () => {
    put(recordOf(key, ['10.0.0.1/24']))
    unlinkSync(`${dataDir}/leases/storage,ctr-1,net1`)
    symlinkSync('10.0.0.1', `${dataDir}/leases/storage,ctr-1,net1`)
    expect(releaseAddresses(store, key, now)).toBe(true)
    expect(store.find(key)).toBeUndefined()
  })
})

describe('collectGarbage()', () => {
  const records = {
    valid: recordOf(keyOf('valid'), ['10.0.0.1/24'], { netns: gone }),
    dead: recordOf(keyOf('dead'), ['10.0.0.2/24', 'fd00::2/64'], { netns: gone }),
    living: recordOf(keyOf('living'), ['10.0.0.3/24'], { netns: alive }),
    rebooted: recordOf(keyOf('rebooted'), ['10.0.0.4/24'], { netns: alive, bootId: 'boot-0' }),
    homeless: recordOf(keyOf('homeless'), ['10.0.0.5/24']),
    foreign: recordOf(keyOf('foreign', { network: 'other' }), ['10.0.0.6/24'], { netns: gone }),
  }
  const wish = { node, nowMs: now.getTime(), inUse: () => false }
  const ids = (keys: readonly AttachmentKey[]): string[] => keys.map(({ containerId }) => containerId).sort()

  it.each([
    [
      'releases what is not valid, unless its namespace is alive',
      ['valid'],
      ['dead', 'homeless', 'rebooted'],
      ['living'],
    ],
    [
      'releases all that are not alive when nothing is valid',
      [],
      ['dead', 'homeless', 'rebooted', 'valid'],
      ['living'],
    ],
    ['releases nothing when all is valid', ['valid', 'dead', 'living', 'rebooted', 'homeless'], [], []],
  ])('%s', (_, valid, released, kept) => {
    for (const record of Object.values(records)) put(record)
    const isValid = ({ containerId }: AttachmentKey): boolean => valid.includes(containerId)
    const collected = collectGarbage(store, 'storage', isValid, wish)
    expect([ids(collected.released), ids(collected.kept)]).toEqual([released, kept])
    const left = store.list().records.map(recordKey)
    expect(ids(left)).toEqual(
      Object.keys(records)
        .filter((id) => !released.includes(id))
        .sort(),
    )
    const freed = Object.values(records).filter(({ containerId }) => released.includes(containerId))
    const names = freed.flatMap(({ leases }) => leases.map(({ address }) => address.replace(/\/.*/, '')))
    expect(namesOf().filter((name) => names.includes(name))).toEqual([])
  })

  it('makes no directory when nothing was ever claimed', () => {
    expect(collectGarbage(store, 'storage', () => false, wish)).toEqual({ released: [], kept: [], damaged: [] })
    expect(readdirSync(dataDir)).toEqual([])
  })
})
