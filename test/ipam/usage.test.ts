import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { beforeEach, expect, test } from 'vitest'
import { blockedOf } from '../../ipam/decide.ts'
import { FileStore } from '../../ipam/ledger/file-store.ts'
import { countUsage, KnownPlans } from '../../ipam/usage.ts'
import { keyOf, recordOf } from '../contract/records.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { nowMs } from './claims.ts'
import { planOf, rangeOf } from './plans.ts'

let dataDir: string
let plans: KnownPlans
beforeEach(() => {
  dataDir = temporaryDirectory()
  plans = new KnownPlans()
})

function put(...addresses: string[]): void {
  const store = new FileStore(dataDir)
  store.locked(() => store.put(addresses.map((address, index) => recordOf(keyOf(`ctr-${index}`), [address]))))
}

const rangesOf = async (): Promise<(string | number)[][]> =>
  (await countUsage(dataDir, plans)).ranges.map(({ network, range, held, free }) => [network, range, held, free])

test('countUsage() finds nothing where nothing was ever claimed', async () => {
  plans.note('a', planOf([rangeOf('10.0.0.0/24')]))
  expect(await countUsage(dataDir, plans)).toEqual({
    attachments: new Map(),
    kept: new Map(),
    leases: new Map([
      ['4', 0],
      ['6', 0],
    ]),
    ranges: [{ network: 'a', range: '10.0.0.1-10.0.0.254', held: 0, free: 254 }],
  })
})

test('countUsage() counts attachments and what is kept by network, and addresses by family', async () => {
  const store = new FileStore(dataDir)
  const pod = { namespace: 'ns', name: 'pod' }
  const kept = recordOf(keyOf('k', { network: 'sticky' }), ['10.0.0.9/24'], { pod, keepMs: 1000 })
  store.locked(() => store.put([recordOf(keyOf('a'), ['10.0.0.2/24', 'fd00::2/64']), recordOf(keyOf('b'), []), kept]))
  store.locked(() => store.remove(keyOf('k', { network: 'sticky' }), nowMs))
  writeFileSync(`${dataDir}/leases/.new,storage,x,net1`, '')
  writeFileSync(`${dataDir}/leases/stranger`, '')
  const { attachments, kept: keptCounts, leases } = await countUsage(dataDir, plans)
  expect([[...attachments], [...keptCounts], [...leases]]).toEqual([
    [['storage', 2]],
    [['sticky', 1]],
    [
      ['4', 2],
      ['6', 1],
    ],
  ])
})

test('countUsage() counts what is given unasked: not the gateway, nor what is excluded, reserved or outside', async () => {
  const wish = {
    start: '10.0.0.1',
    end: '10.0.0.20',
    gateway: '10.0.0.1',
    excluded: ['10.0.0.4/31'],
    reserved: ['10.0.0.20'],
  }
  const range = rangeOf('10.0.0.0/24', wish)
  expect(blockedOf(range).length).toBe(3)
  plans.note('a', planOf([range]))
  expect(await rangesOf()).toEqual([['a', '10.0.0.1-10.0.0.20', 0, 16]])
  put('10.0.0.2/24', '10.0.0.19/24', '10.0.0.4/24', '10.0.0.20/24', '10.0.0.21/24', '10.0.1.3/24', 'fd00::3/64')
  expect(await rangesOf()).toEqual([['a', '10.0.0.1-10.0.0.20', 2, 14]])
})

test('countUsage() counts ranges that overlap, of both families, each for itself', async () => {
  plans.note('a', planOf([rangeOf('10.0.0.0/24'), rangeOf('fd00::/64')]))
  plans.note('b', planOf([rangeOf('10.0.0.0/28')]))
  plans.note('c', planOf([rangeOf('10.0.0.0/24', { start: '10.0.0.9', end: '10.0.0.9' })]))
  put('10.0.0.9/24', '10.0.0.200/24', 'fd00::2/64')
  const size = 2 ** 64
  expect(await rangesOf()).toEqual([
    ['a', '10.0.0.1-10.0.0.254', 2, 252],
    ['a', 'fd00::1-fd00::ffff:ffff:ffff:fffe', 1, size - 1],
    ['b', '10.0.0.1-10.0.0.14', 1, 13],
    ['c', '10.0.0.9-10.0.0.9', 1, 0],
  ])
})

test('countUsage() tells spaces apart', async () => {
  plans.note('a', planOf([{ ...rangeOf('10.0.0.0/24'), space: 'other' }]))
  put('10.0.0.2/24')
  expect(await rangesOf()).toEqual([['a', '10.0.0.1-10.0.0.254', 0, 254]])
})

test('countUsage() says which directory it cannot list', async () => {
  writeFileSync(`${dataDir}/leases`, '')
  await expect(countUsage(dataDir, plans)).rejects.toThrow(`Cannot list "${dataDir}/leases": ENOTDIR`)
  rmSync(`${dataDir}/leases`)
})

test('countUsage() puts networks beyond 1024 together', async () => {
  mkdirSync(`${dataDir}/leases`)
  for (let index = 0; index < 1030; index++) writeFileSync(`${dataDir}/leases/net-${index},ctr,net1`, '')
  const { attachments } = await countUsage(dataDir, plans)
  expect([attachments.size, attachments.get('other')]).toEqual([1025, 6])
})

test('KnownPlans keeps the last plan of a network, and forgets the network that was not claimed by for longest', () => {
  const networks = (): string[] => [...plans.ranges()].map(({ network, range }) => `${network} ${range.text}`)
  plans.note('a', planOf([rangeOf('10.0.0.0/24')]))
  plans.note('b', planOf([rangeOf('10.0.1.0/24')]))
  plans.note('a', planOf([rangeOf('10.0.2.0/24')]))
  plans.note('fixed', planOf([]))
  expect(networks()).toEqual(['b 10.0.1.0/24', 'a 10.0.2.0/24'])
  for (let index = 0; index < 1023; index++) plans.note(`net-${index}`, planOf([rangeOf('10.0.3.0/24')]))
  expect(networks().length).toBe(1024)
  expect(networks()[0]).toBe('a 10.0.2.0/24')
})

test('KnownPlans is not filled by configs of thousands of ranges', () => {
  const many = planOf(new Array(10_000).fill(rangeOf('10.0.0.0/24')))
  for (const network of ['a', 'b', 'c']) plans.note(network, many)
  plans.note('d', planOf(new Array(20_000).fill(rangeOf('10.0.0.0/24'))))
  expect(new Set(plans.ranges().map(({ network }) => network))).toEqual(new Set(['c']))
})
