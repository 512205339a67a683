import { closeSync, openSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Claim, Claimed } from '../../ipam/claim.ts'
import { GroupCommit } from '../../ipam/commit.ts'
import { FileStore } from '../../ipam/ledger/file-store.ts'
import type { AttachmentRecord } from '../../ipam/ledger/record.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { tryFlock } from '../../shared/host/libc.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { claimOf } from './claims.ts'
import { planOf, rangeOf } from './plans.ts'

/** Notes how many records are put at a time. */
class Counting extends FileStore {
  readonly sizes: number[] = []
  readonly wheres: (string | undefined)[] = []
  full = false
  override put(records: readonly AttachmentRecord[]): ReturnType<FileStore['put']> {
    this.sizes.push(records.length)
    if (this.full) throw new CniError('ERR_IO', 'no space left')
    return super.put(records)
  }
  override flush(where?: 'in a thread' | 'here'): Promise<void> {
    this.wheres.push(where)
    return super.flush(where)
  }
}

let store: Counting
let commit: GroupCommit
beforeEach(() => {
  store = new Counting(temporaryDirectory())
  commit = new GroupCommit(store)
})

const addressOf = ({ record }: Claimed): string | undefined => record.leases[0]?.address
/** Starts all of them at once; what each came to, in the order of the claims. */
async function outcomesOf(claims: readonly Claim[]): Promise<(string | undefined)[]> {
  const settled = await Promise.allSettled(claims.map((claim) => commit.claim(claim)))
  return settled.map((one) =>
    one.status === 'fulfilled' ? addressOf(one.value) : one.reason instanceof CniError ? one.reason.errorName : 'other',
  )
}
const claims = (count: number): Claim[] => Array.from({ length: count }, (_, index) => claimOf(`c${index}`))
const addresses = (count: number): string[] => Array.from({ length: count }, (_, index) => `10.0.0.${index + 2}/24`)

describe('GroupCommit.claim()', () => {
  it('waits without stopping the process while another process has the lock', async () => {
    const path = temporaryDirectory()
    commit = new GroupCommit(new FileStore(path, { waitMs: 0 }))
    const other = openSync(`${path}/lock`, 'w')
    expect(tryFlock(other)).toBe(true)
    let turns = 0
    const counting = setInterval(() => turns++, 1)
    setTimeout(() => closeSync(other), 60)
    expect(await outcomesOf(claims(3))).toEqual(addresses(3))
    clearInterval(counting)
    expect(turns).toBeGreaterThan(5)
  })

  it('writes claims of one moment together, eight at a time, and answers each with its own', async () => {
    expect(await outcomesOf(claims(20))).toEqual(addresses(20))
    expect(store.sizes).toEqual([8, 8, 4])
    expect([store.list().records.length, store.inspect()]).toEqual([20, []])
  })

  it('answers in the order of the calls', async () => {
    const order: number[] = []
    await Promise.all(claims(20).map((claim, index) => commit.claim(claim).then(() => order.push(index))))
    expect(order).toEqual(Array.from({ length: 20 }, (_, index) => index))
  })

  it('syncs beside the work for a single link, and for those who wait already; otherwise here', async () => {
    const noLink = (id: string): Claim => {
      const { link: _link, ...rest } = claimOf(id)
      return rest
    }
    const wheres = async (batch: readonly Claim[]): Promise<(string | undefined)[]> => {
      store.wheres.length = 0
      await outcomesOf(batch)
      return store.wheres.splice(0)
    }
    expect(await wheres([claimOf('a')])).toEqual(['in a thread'])
    expect(await wheres([noLink('b')])).toEqual(['here'])
    expect(await wheres([claimOf('d'), claimOf('e')])).toEqual(['here'])
    expect(await wheres(claims(20))).toEqual(['in a thread', 'in a thread', 'here'])
    const full = planOf([rangeOf('10.0.0.2/32')])
    expect(await wheres([claimOf('f', { plan: full })])).toEqual([])
  })

  it('writes a single one by itself', async () => {
    expect(await outcomesOf(claims(1))).toEqual(addresses(1))
    expect(store.sizes).toEqual([1])
  })

  it('fails the claim that cannot be and no other of its batch', async () => {
    const full = planOf([rangeOf('10.0.0.2/32')])
    const batch = [claimOf('a'), claimOf('b', { plan: full }), claimOf('c', { asked: ['192.0.2.1'] }), claimOf('d')]
    expect(await outcomesOf(batch)).toEqual(['10.0.0.2/24', 'ERR_EXHAUSTED', 'ERR_CONFIG', '10.0.0.3/24'])
    expect(store.sizes).toEqual([2])
  })

  it('fails all of a batch that cannot be written, and serves the next one', async () => {
    store.full = true
    expect(await outcomesOf(claims(2))).toEqual(['ERR_IO', 'ERR_IO'])
    store.full = false
    expect(await outcomesOf(claims(2))).toEqual(addresses(2))
  })

  it('refuses what comes when 4096 wait, and serves those', async () => {
    const plan = planOf([])
    const many = Array.from({ length: 4097 }, () => claimOf('same', { plan }))
    const outcomes = await outcomesOf(many)
    expect(outcomes.at(-1)).toBe('ERR_TRY_AGAIN')
    const waiting = many.slice(1).map((claim) => commit.claim(claim))
    await expect(commit.claim(claimOf('late', { plan }))).rejects.toThrow(
      'Cannot claim for "late/net1" of network "storage": 4096 claims are waiting already',
    )
    await Promise.allSettled(waiting)
    expect(outcomes.slice(8, 4096).filter((one) => one !== undefined)).toEqual([])
  })

  it('gives the same answer when a claim comes again in a later batch', async () => {
    const first = await commit.claim(claimOf('a'))
    const again = await commit.claim(claimOf('a'))
    expect([first.fresh, again]).toEqual([true, { record: first.record, fresh: false, durable: expect.any(Promise) }])
  })
})
