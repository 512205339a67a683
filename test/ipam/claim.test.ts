import { readdirSync, statSync, symlinkSync, unlinkSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { type Claim, claimAddresses } from '../../ipam/claim.ts'
import { FileStore } from '../../ipam/ledger/file-store.ts'
import type { AttachmentRecord } from '../../ipam/ledger/record.ts'
import { keyOf, recordOf } from '../contract/records.ts'
import { failureOf } from '../shared/failures.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { fixedOf, planOf, rangeOf, requestedOf } from './plans.ts'

let dataDir: string
let store: FileStore
beforeEach(() => {
  dataDir = temporaryDirectory()
  store = new FileStore(dataDir)
})

const { dev, ino } = statSync('/proc/self/ns/net')
/** The namespace of this very process is alive as long as the test runs. */
const alive = { path: '/proc/self/ns/net', dev, ino }
/** One of the same path that went before it, and one whose path is gone. */
const replaced = { ...alive, ino: ino + 1 }
const gone = { path: '/nowhere/ns/net', dev, ino: ino + 2 }
const link = { index: 1_048_577, mac: '02:00:00:00:00:01' }
const otherLink = { index: 1_048_578, mac: '02:00:00:00:00:02' }
const ranges = [rangeOf('10.0.0.0/24', { gateway: '10.0.0.1' })]
const plan = planOf(ranges)
const blue = planOf(ranges.map((range) => ({ ...range, space: 'blue' })))
const now = new Date('2026-01-02T03:04:05.678Z')

interface Wish extends Partial<Pick<Claim, 'key' | 'plan' | 'pod' | 'now'>> {
  readonly bootId?: string
  readonly asked?: readonly string[]
  /** Null: the claim has none. */
  readonly link?: Claim['link'] | null
  readonly netns?: Claim['netns'] | null
}

const claimOf = ({
  asked = [],
  link: wantedLink = link,
  netns = alive,
  bootId = 'boot-1',
  ...wish
}: Wish = {}): Claim => ({
  key: keyOf('ctr-1'),
  plan,
  requested: requestedOf(...asked),
  ...(wantedLink === null ? {} : { link: wantedLink }),
  ...(netns === null ? {} : { netns }),
  node: { host: 'node-1', bootId },
  now,
  ...wish,
})

/** What was answered: the addresses, and whether they are new. */
function claimed(wish: Wish = {}): [string[], boolean] {
  const { record, fresh } = claimAddresses(store, claimOf(wish))
  expect(store.find(record)).toEqual(record)
  return [record.leases.map(({ address }) => address), fresh]
}

const listed = (): readonly AttachmentRecord[] => store.list().records

describe('claimAddresses() of a new attachment', () => {
  it('records what was claimed, by whom, where and when', () => {
    const pod = { namespace: 'ns', name: 'pod' }
    const { record, fresh } = claimAddresses(store, claimOf({ pod }))
    expect(fresh).toBe(true)
    expect(record).toEqual({
      ...recordOf(keyOf('ctr-1'), [], { link, netns: alive, pod }),
      leases: [{ address: '10.0.0.2/24', gateway: '10.0.0.1', range: '10.0.0.0/24' }],
    })
    expect(listed()).toEqual([record])
  })

  it('records an attachment without addresses, too', () => {
    expect(claimed({ plan: planOf([]) })).toEqual([[], true])
    expect(listed()).toHaveLength(1)
  })

  it('gives different addresses to different attachments, and the lowest free one again', () => {
    expect(claimed()).toEqual([['10.0.0.2/24'], true])
    expect(claimed({ key: keyOf('ctr-2') })).toEqual([['10.0.0.3/24'], true])
    expect(claimed({ key: keyOf('ctr-1', { ifName: 'net2' }) })).toEqual([['10.0.0.4/24'], true])
    expect(claimed({ key: keyOf('ctr-1', { network: 'other' }) })).toEqual([['10.0.0.5/24'], true])
    store.locked(() => store.remove(keyOf('ctr-2'), now.getTime()))
    expect(claimed({ key: keyOf('ctr-9') })).toEqual([['10.0.0.3/24'], true])
  })

  it('gives the same address twice when the spaces differ', () => {
    claimed()
    expect(claimed({ key: keyOf('ctr-2'), plan: blue })).toEqual([['10.0.0.2/24'], true])
  })

  it.each([
    ['ERR_TAKEN', ['10.0.0.2'], 'held by "ctr-1/net1" of network "storage"'],
    ['ERR_CONFIG', ['10.0.0.1'], 'the gateway of 10.0.0.0/24'],
    ['ERR_CONFIG', ['192.0.2.1'], 'lies in no subnet'],
  ])('fails with %s and holds nothing more when asked for %j', (errorName, asked, why) => {
    claimed()
    const before = listed()
    const failure = failureOf(() => claimed({ key: keyOf('ctr-2'), asked }))
    expect(failure.errorName).toBe(errorName)
    expect(failure.message).toContain(why)
    expect(listed()).toEqual(before)
  })

  it('fails and holds nothing when one of two ranges is exhausted', () => {
    const full = planOf([rangeOf('10.0.0.0/24'), rangeOf('fd00::7/128')])
    claimed({ plan: planOf([rangeOf('fd00::7/128')]) })
    expect(failureOf(() => claimed({ key: keyOf('ctr-2'), plan: full })).errorName).toBe('ERR_EXHAUSTED')
    expect(readdirSync(`${dataDir}/leases`).sort()).toEqual(['fd00::7', 'storage,ctr-1,net1'])
  })
})

describe('claimAddresses() of an attachment that was claimed before', () => {
  it.each<[string, Wish, Wish]>([
    ['just the same', {}, {}],
    ['another link, which was chosen at random', {}, { link: otherLink }],
    ['the address that it has', {}, { asked: ['10.0.0.2'] }],
    ['no address any more, and has one that was asked for', { asked: ['10.0.0.9'] }, {}],
    ['a wider range', {}, { plan: planOf([rangeOf('10.0.0.0/24', { start: '10.0.0.50' })]) }],
  ])('gives the same answer when it asks for %s', (_, first, second) => {
    const { record } = claimAddresses(store, claimOf(first))
    const again = claimAddresses(store, claimOf({ ...second, now: new Date(0) }))
    expect(again).toEqual({ record, fresh: false })
    expect(listed()).toEqual([record])
  })

  it('gives the same answer when the same namespace is named by another path', () => {
    claimed({ netns: { ...alive, path: '/nowhere/ns/net' } })
    expect(claimed()).toEqual([['10.0.0.2/24'], false])
  })

  it.each<[string, Wish]>([
    ['another address', { asked: ['10.0.0.9'] }],
    ['an address of another subnet', { plan: planOf([rangeOf('10.1.0.0/24')]) }],
    ['one more address', { plan: planOf([...ranges, rangeOf('fd00::/64')]) }],
    ['no address', { plan: planOf([]) }],
    ['another space', { plan: blue }],
    ['the same in another namespace', { netns: replaced }],
    ['a link that another plugin makes', { link: null }],
  ])('refuses when its namespace is alive and it asks for %s', (_, second) => {
    claimed()
    const before = listed()
    const failure = failureOf(() => claimed(second))
    expect([failure.errorName, failure.code]).toEqual(['ERR_CONFLICT', 103])
    expect(failure.message).toContain('Cannot claim for "ctr-1/net1" of network "storage"')
    expect(failure.details).toBe('it holds 10.0.0.2/24 in "/proc/self/ns/net"; a DEL releases it')
    expect(listed()).toEqual(before)
  })

  it.each<[string, Wish, Wish]>([
    ['is gone', { netns: gone }, {}],
    ['was replaced', { netns: replaced }, {}],
    ['was of an earlier boot', {}, { bootId: 'boot-2' }],
    ['is not known', { netns: null }, {}],
  ])('takes over from a namespace that %s when it asks for something else', (_, first, second) => {
    claimed(first)
    expect(claimed({ ...second, asked: ['10.0.0.9'] })).toEqual([['10.0.0.9/24'], true])
    expect(readdirSync(`${dataDir}/leases`).sort()).toEqual(['10.0.0.9', 'storage,ctr-1,net1'])
  })

  it.each<[string, Wish, Wish]>([
    ['its namespace is gone', { netns: gone }, {}],
    ['its namespace was replaced', { netns: replaced }, {}],
    ['the machine was restarted', {}, { bootId: 'boot-2' }],
  ])('takes up the same address for the new namespace when %s', (_, first, second) => {
    claimed({ key: keyOf('ctr-0') })
    claimed(first)
    store.locked(() => store.remove(keyOf('ctr-0'), now.getTime()))
    expect(claimed({ ...second, link: otherLink })).toEqual([['10.0.0.3/24'], true])
    expect(listed()).toMatchObject([{ netns: alive, link: otherLink, bootId: second.bootId ?? 'boot-1' }])
  })

  it('takes up fixed and requested addresses after a restart', () => {
    const fixed = planOf([], [fixedOf('10.0.0.7/24'), fixedOf('fd00::7/64')])
    const asked = ['10.0.0.8']
    expect(claimed({ plan: fixed, asked })).toEqual([['10.0.0.8/24', 'fd00::7/64'], true])
    expect(claimed({ plan: fixed, asked, bootId: 'boot-2' })).toEqual([['10.0.0.8/24', 'fd00::7/64'], true])
    expect(claimed({ plan: fixed, asked, bootId: 'boot-2' })).toEqual([['10.0.0.8/24', 'fd00::7/64'], false])
  })

  it('takes up addresses of a network without ranges after a restart', () => {
    const asked = ['10.0.0.8/16']
    expect(claimed({ plan: planOf([]), asked })).toEqual([['10.0.0.8/16'], true])
    expect(claimed({ plan: planOf([]), asked, bootId: 'boot-2' })).toEqual([['10.0.0.8/16'], true])
  })

  const sameSubnet = ['10.0.0.10', '10.0.0.20'].map((start) => rangeOf('10.0.0.0/24', { start }))

  it.each([
    ['two ranges of one subnet', planOf(sameSubnet), ['10.0.0.10/24', '10.0.0.20/24']],
    [
      'a range and a fixed address of one subnet',
      planOf(sameSubnet.slice(0, 1), [fixedOf('10.0.0.7/24')]),
      ['10.0.0.10/24', '10.0.0.7/24'],
    ],
  ])('takes up what it had after a restart when the plan has %s', (_, shared, addresses) => {
    expect(claimed({ plan: shared })).toEqual([addresses, true])
    expect(claimed({ plan: shared, bootId: 'boot-2' })).toEqual([addresses, true])
  })

  it('takes up its address with the gateway and the prefix that the plan has now when its namespace is gone', () => {
    claimed({ netns: gone })
    const wider = planOf([rangeOf('10.0.0.0/16', { gateway: '10.0.0.254' })])
    expect(claimed({ plan: wider })).toEqual([['10.0.0.2/16'], true])
    expect(listed()).toMatchObject([{ leases: [{ gateway: '10.0.0.254', range: '10.0.0.0/16' }] }])
  })

  it('fails and changes nothing when its record is damaged', () => {
    claimed()
    const names = readdirSync(`${dataDir}/leases`)
    unlinkSync(`${dataDir}/leases/storage,ctr-1,net1`)
    symlinkSync('/dev/null', `${dataDir}/leases/storage,ctr-1,net1`)
    expect(failureOf(() => claimed()).errorName).toBe('ERR_DAMAGED')
    expect(readdirSync(`${dataDir}/leases`)).toEqual(names)
  })
})
