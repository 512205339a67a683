import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { beforeEach, describe, expect, it } from 'vitest'
import { type Claim, claimAddresses, releaseAddresses } from '../../ipam/claim.ts'
import { FileStore } from '../../ipam/ledger/file-store.ts'
import type { AttachmentRecord } from '../../ipam/ledger/record.ts'
import { claimInstead } from '../../ipam/quarantine.ts'
import { sweep } from '../../ipam/sweep.ts'
import { keyOf } from '../contract/records.ts'
import { ip } from '../shared/addresses.ts'
import { failureOf } from '../shared/failures.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { claimOf, node, nowMs } from './claims.ts'
import { fixedOf, planOf, rangeOf } from './plans.ts'

const hourMs = 3_600_000
const mac = '02:00:00:00:00:99'

let store: FileStore
beforeEach(() => {
  store = new FileStore(temporaryDirectory())
})

const addressesOf = ({ leases }: AttachmentRecord): string[] => leases.map(({ address }) => address)
const claimed = (claim: Claim): string[] => addressesOf(claimAddresses(store, claim).record)
const instead = (claim: Claim, ...strangers: string[]): string[] =>
  addressesOf(
    claimInstead(
      store,
      claim,
      strangers.map((text) => ({ ip: ip(text), mac })),
    ),
  )
const isHeld = (address: string): boolean => store.isHeld('default', ip(address))

describe('claimInstead()', () => {
  it('gives another address and keeps the one of the stranger out of use for an hour', () => {
    claimed(claimOf('a'))
    expect(instead(claimOf('a'), '10.0.0.2')).toEqual(['10.0.0.3/24'])
    expect(store.find(keyOf('a'))?.leases).toMatchObject([{ address: '10.0.0.3/24' }])
    expect(isHeld('10.0.0.2')).toBe(true)
    expect(claimed(claimOf('b', { atMs: nowMs + 1 }))).toEqual(['10.0.0.4/24'])
    const swept = (atMs: number) => sweep(store, { node, nowMs: atMs, graceMs: 0, inUse: () => true }).expired.length
    expect([swept(nowMs + hourMs - 1000), isHeld('10.0.0.2')]).toEqual([0, true])
    expect([swept(nowMs + hourMs + 1000), isHeld('10.0.0.2')]).toEqual([1, false])
    expect(claimed(claimOf('c', { atMs: nowMs + hourMs + 1000 }))).toEqual(['10.0.0.2/24'])
    expect(store.inspect()).toEqual([])
  })

  it('names the stranger as who holds the address, and no namespace or link of the attachment', () => {
    claimed(claimOf('a'))
    instead(claimOf('a'), '10.0.0.2')
    const holder = store.holder('default', ip('10.0.0.2'))
    expect(holder).toMatchObject({ containerId: 'conflict-02-00-00-00-00-99-10.0.0.2', network: 'storage' })
    expect([holder?.link, holder?.netns]).toEqual([undefined, undefined])
  })

  it('does not give the same address to the same pod again when that keeps its addresses', () => {
    const sticky = { pod: 'web-0', keepMs: 10 * hourMs }
    claimed(claimOf('a', sticky))
    expect(instead(claimOf('a', sticky), '10.0.0.2')).toEqual(['10.0.0.3/24'])
    releaseAddresses(store, keyOf('a'), new Date(nowMs))
    expect(claimed(claimOf('b', sticky))).toEqual(['10.0.0.3/24'])
  })

  it('keeps several out of use, one after the other and of both families', () => {
    const plan = planOf([rangeOf('10.0.0.0/24'), rangeOf('fd00::/64')])
    claimed(claimOf('a', { plan }))
    expect(instead(claimOf('a', { plan }), '10.0.0.1', 'fd00::1')).toEqual(['10.0.0.2/24', 'fd00::2/64'])
    expect(instead(claimOf('a', { plan }), 'fd00::2')).toEqual(['10.0.0.2/24', 'fd00::3/64'])
    expect(['10.0.0.1', 'fd00::1', 'fd00::2'].map(isHeld)).toEqual([true, true, true])
    expect(store.list().kept).toHaveLength(3)
  })

  it('passes over an address that the attachment does not hold', () => {
    claimed(claimOf('a'))
    expect(instead(claimOf('a'), '10.0.0.77')).toEqual(['10.0.0.2/24'])
    expect(isHeld('10.0.0.77')).toBe(false)
  })

  it.each<[string, Claim, string]>([
    ['was asked for', claimOf('a', { asked: ['10.0.0.9'] }), 'Cannot claim "10.0.0.9": "02:00:00:00:00:99" answers'],
    [
      'is the fixed one',
      claimOf('a', { plan: planOf([], [fixedOf('10.0.0.9/24')]) }),
      'Cannot claim "10.0.0.9": "02:00:00:00:00:99" answers',
    ],
  ])(
    'fails with ERR_TAKEN and leaves the attachment its record without the address when the address %s',
    (_, claim, message) => {
      claimed(claim)
      const failure = failureOf(() => instead(claim, '10.0.0.9'))
      expect([failure.errorName, failure.message]).toEqual(['ERR_TAKEN', expect.stringContaining(message)])
      expect(store.find(keyOf('a'))).toMatchObject({ leases: [], link: claim.link })
      expect([isHeld('10.0.0.9'), store.holder('default', ip('10.0.0.9'))?.pod?.namespace]).toEqual([true, 'conflict'])
      expect(store.inspect()).toEqual([])
    },
  )

  it('fails with ERR_EXHAUSTED when nothing else is left', () => {
    const plan = planOf([rangeOf('10.0.0.0/31')])
    claimed(claimOf('a', { plan }))
    expect(instead(claimOf('a', { plan }), '10.0.0.0')).toEqual(['10.0.0.1/31'])
    expect(failureOf(() => instead(claimOf('a', { plan }), '10.0.0.1')).errorName).toBe('ERR_EXHAUSTED')
    expect(store.list().records).toMatchObject([{ containerId: 'a', leases: [] }])
    releaseAddresses(store, keyOf('a'), new Date(nowMs))
    expect(store.list().records).toEqual([])
  })

  it('leaves a record of the attachment, by which a DEL finds its link, wherever it is killed', () => {
    const { unlinkSync, linkSync, renameSync } = fs
    const original = { unlinkSync, linkSync, renameSync }
    for (let [failing, killed] = [0, true]; killed; failing++) {
      claimed(claimOf('a'))
      const [held] = addressesOf(store.find(keyOf('a')) ?? { ...claimAddresses(store, claimOf('a')).record })
      let count = 0
      const killing = (call: (...args: never[]) => void) => {
        return (...args: never[]): void => {
          if (count++ >= failing) throw new Error('killed')
          call(...args)
        }
      }
      Object.assign(fs, {
        unlinkSync: killing(unlinkSync),
        linkSync: killing(linkSync),
        renameSync: killing(renameSync),
      })
      syncBuiltinESMExports()
      try {
        instead(claimOf('a'), held?.replace(/\/.*/, '') ?? '')
        killed = false
      } catch (error) {
        expect(error).toMatchObject({ message: 'killed' })
      }
      Object.assign(fs, original)
      syncBuiltinESMExports()
      expect(store.find(keyOf('a'))?.link, `killed at ${failing}`).toEqual(claimOf('a').link)
      releaseAddresses(store, keyOf('a'), new Date(nowMs))
      const wrong = store.inspect().filter(({ name }) => name !== '.passing' && !name.includes('conflict'))
      expect([store.list().records.filter(({ containerId }) => containerId === 'a'), wrong]).toEqual([[], []])
    }
  })

  it('fails with ERR_CONFLICT when the attachment was released meanwhile', () => {
    expect(failureOf(() => instead(claimOf('a'), '10.0.0.2')).errorName).toBe('ERR_CONFLICT')
    expect(store.list()).toEqual({ records: [], kept: [], damaged: [] })
  })
})
