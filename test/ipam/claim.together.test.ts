/** Claims that are decided one after the other and written together. */
import { writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { type Claim, claimTogether } from '../../ipam/claim.ts'
import { FileStore } from '../../ipam/ledger/file-store.ts'
import type { AttachmentRecord } from '../../ipam/ledger/record.ts'
import type { Ip } from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { keyOf, recordOf } from '../contract/records.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { claimOf, dayMs, gone, nowMs } from './claims.ts'
import { planOf, rangeOf } from './plans.ts'

let dataDir: string
let store: FileStore
beforeEach(() => {
  dataDir = temporaryDirectory()
  store = new FileStore(dataDir)
})

/** What each came to: its addresses, or the name of its error. */
const together = (...claims: readonly Claim[]): string[] =>
  claimTogether(store, claims).map((outcome) => {
    if ('record' in outcome) return outcome.record.leases.map(({ address }) => address).join(' ')
    return outcome.error instanceof CniError ? outcome.error.errorName : 'other'
  })
const release = (containerId: string, atMs = nowMs): boolean =>
  store.locked(() => store.remove(keyOf(containerId), atMs))
const listed = (): string[] =>
  store
    .list()
    .records.map(({ containerId }) => containerId)
    .sort()

describe('claimTogether()', () => {
  it('gives each its own addresses in the order of the claims', () => {
    expect(together(claimOf('a'), claimOf('b'), claimOf('c'))).toEqual(['10.0.0.2/24', '10.0.0.3/24', '10.0.0.4/24'])
    expect([listed(), store.inspect()]).toEqual([['a', 'b', 'c'], []])
  })

  it('answers nothing when nothing is claimed', () => {
    expect(together()).toEqual([])
  })

  it('refuses the second of one attachment, and serves the first and the others', () => {
    expect(together(claimOf('a'), claimOf('a'), claimOf('b'))).toEqual(['10.0.0.2/24', 'ERR_TRY_AGAIN', '10.0.0.3/24'])
    expect(listed()).toEqual(['a', 'b'])
  })

  it('gives both the same answer when the attachment was claimed before', () => {
    together(claimOf('a'))
    expect(together(claimOf('a'), claimOf('a'))).toEqual(['10.0.0.2/24', '10.0.0.2/24'])
  })

  it('fails those behind the last address and no others when the range runs out amid them', () => {
    const plan = planOf([rangeOf('10.0.0.0/30')])
    const outcomes = together(
      ...['a', 'b', 'c'].map((name) => claimOf(name, { plan })),
      claimOf('d', { plan: planOf([rangeOf('10.1.0.0/30')]) }),
    )
    expect(outcomes).toEqual(['10.0.0.1/30', '10.0.0.2/30', 'ERR_EXHAUSTED', '10.1.0.1/30'])
    release('a')
    expect(together(claimOf('c', { plan }))).toEqual(['10.0.0.1/30'])
  })

  it('holds nothing of a claim of two ranges when the second one has run out', () => {
    const plan = planOf([rangeOf('10.0.0.0/30'), rangeOf('fd00::1/128')])
    const single = planOf([rangeOf('10.0.0.0/30')])
    const outcomes = together(
      ...['a', 'b'].map((name) => claimOf(name, { plan })),
      ...['c', 'd'].map((name) => claimOf(name, { plan: single })),
    )
    expect(outcomes).toEqual(['10.0.0.1/30 fd00::1/128', 'ERR_EXHAUSTED', '10.0.0.2/30', 'ERR_EXHAUSTED'])
  })

  it('gives a requested address to the first that asks, and keeps it from those who do not', () => {
    const outcomes = together(
      claimOf('a', { asked: ['10.0.0.3'] }),
      claimOf('b', { asked: ['10.0.0.3'] }),
      claimOf('c'),
      claimOf('d'),
    )
    expect(outcomes).toEqual(['10.0.0.3/24', 'ERR_TAKEN', '10.0.0.2/24', '10.0.0.4/24'])
  })

  it('gives what is kept for a pod to the first of two containers of it', () => {
    const sticky = { pod: 'web-0', keepMs: dayMs }
    together(claimOf('old', sticky), claimOf('other'))
    release('old')
    const outcomes = together(claimOf('new-1', sticky), claimOf('new-2', sticky), claimOf('z'))
    expect(outcomes).toEqual(['10.0.0.2/24', '10.0.0.4/24', '10.0.0.5/24'])
    expect([store.list().kept, store.inspect()]).toEqual([[], []])
  })

  it('gives an address that one takes up again to nobody else', () => {
    const plan = planOf([rangeOf('10.0.0.0/31')])
    const put = (record: AttachmentRecord) => store.locked(() => store.put([record]))
    put(recordOf(keyOf('a'), ['10.0.0.0/31'], { netns: gone, link: { index: 5, mac: '02:00:00:00:00:05' } }))
    put(recordOf(keyOf('x'), ['10.0.0.1/31']))
    expect(together(claimOf('a', { plan }), claimOf('b', { plan }))).toEqual(['10.0.0.0/31', 'ERR_EXHAUSTED'])
    expect(together(claimOf('b', { plan }), claimOf('a', { plan }))).toEqual(['ERR_EXHAUSTED', '10.0.0.0/31'])
  })

  it('finds another address for the one that lost its own to a caller without the lock, and for no other', () => {
    class Raced extends FileStore {
      #raced = false
      override put(records: readonly AttachmentRecord[]): (Ip | undefined)[] {
        if (!this.#raced) super.put([recordOf(keyOf('thief'), ['10.0.0.3/24'])])
        this.#raced = true
        return super.put(records)
      }
    }
    store = new Raced(dataDir)
    expect(together(claimOf('a'), claimOf('b'), claimOf('c'))).toEqual(['10.0.0.2/24', '10.0.0.5/24', '10.0.0.4/24'])
    expect(store.inspect()).toEqual([])
  })

  it('serves the others when one record is damaged', () => {
    together(claimOf('a'))
    writeFileSync(`${dataDir}/leases/storage,a,net1`, 'x')
    expect(together(claimOf('a'), claimOf('b'))).toEqual(['ERR_DAMAGED', '10.0.0.3/24'])
  })
})
