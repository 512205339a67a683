/** The part of the store's contract about records that are put together. */
import { expect, it } from 'vitest'
import { type AttachmentRecord, recordKey } from '../../ipam/ledger/record.ts'
import type { Store } from '../../ipam/ledger/store.ts'
import { formatIp } from '../../shared/address.ts'
import { ip } from '../shared/addresses.ts'
import { failureOf } from '../shared/failures.ts'
import { keyOf, recordOf } from './records.ts'

const nowMs = 1_700_000_000_000

export function contractOfPutTogether(store: () => Store): void {
  const put = (...records: readonly AttachmentRecord[]): (string | undefined)[] =>
    store()
      .locked(() => store().put(records))
      .map((taken) => taken && formatIp(taken))
  const isHeld = (address: string): boolean => store().isHeld('default', ip(address))
  const a = recordOf(keyOf('a'), ['10.0.0.1/24', 'fd00::1/64'])
  const b = recordOf(keyOf('b'), ['10.0.0.2/24', 'fd00::2/64'])
  const c = recordOf(keyOf('c'), ['10.0.0.3/24', 'fd00::3/64'])

  it('put() answers nothing when there is nothing to put', () => {
    expect(put()).toEqual([])
  })

  it('put() keeps all of several records when nothing is taken, each with its own addresses', () => {
    expect(put(a, b, c)).toEqual([undefined, undefined, undefined])
    for (const record of [a, b, c]) expect(store().find(recordKey(record))).toEqual(record)
    expect(store().holder('default', ip('10.0.0.2'))).toEqual(b)
    expect(store().holder('default', ip('fd00::3'))).toEqual(c)
    expect(store().list().records).toHaveLength(3)
    expect([...store().records()]).toEqual(store().list().records)
    expect(store().inspect()).toEqual([])
  })

  it('remove() leaves the others alone when they were put together', () => {
    put(a, b, c)
    expect(store().locked(() => store().remove(keyOf('b'), nowMs))).toBe(true)
    expect([store().find(keyOf('a')), store().find(keyOf('b')), store().find(keyOf('c'))]).toEqual([a, undefined, c])
    expect(['10.0.0.1', '10.0.0.2', 'fd00::2', 'fd00::3'].map(isHeld)).toEqual([true, false, false, true])
    expect(put(recordOf(keyOf('b'), ['10.0.0.2/24']))).toEqual([undefined])
    expect(store().holder('default', ip('10.0.0.2'))).toMatchObject({ containerId: 'b', leases: [{}] })
    expect(store().inspect()).toEqual([])
  })

  it.each([
    ['first', '10.0.0.1', [a, b, c], ['10.0.0.1', undefined, undefined]],
    ['one amid', 'fd00::2', [a, b, c], [undefined, 'fd00::2', undefined]],
    ['last', 'fd00::3', [a, b, c], [undefined, undefined, 'fd00::3']],
  ])('put() keeps the others and nothing of the %s one when %s is taken', (_, address, records, answer) => {
    const holder = recordOf(keyOf('z'), [`${address}/24`])
    put(holder)
    expect(put(...records)).toEqual(answer)
    const kept = records.filter((_one, index) => answer[index] === undefined)
    expect(store().list().records).toHaveLength(kept.length + 1)
    for (const record of kept) expect(store().find(recordKey(record))).toEqual(record)
    expect(store().holder('default', ip(address))).toEqual(holder)
    expect(store().inspect()).toEqual([])
  })

  it('put() gives an address to the first only when two of the records name it', () => {
    const twice = recordOf(keyOf('b'), ['10.0.0.9/24', '10.0.0.1/24'])
    expect(put(a, twice, c)).toEqual([undefined, '10.0.0.1', undefined])
    expect(store().holder('default', ip('10.0.0.1'))).toEqual(a)
    expect([store().find(keyOf('b')), isHeld('10.0.0.9')]).toEqual([undefined, false])
    expect(store().inspect()).toEqual([])
  })

  it.each([
    ['is recorded already', [a, b, c]],
    ['is twice among them', [a, recordOf(keyOf('c'), ['10.0.0.9/24']), c]],
  ])('put() fails and keeps none of the records when an attachment %s', (what, records) => {
    const before = recordOf(keyOf('b'), ['10.0.0.7/24'])
    if (what === 'is recorded already') put(before)
    expect(failureOf(() => put(...records)).errorName).toBe('ERR_CONFLICT')
    expect(store().list().records).toEqual(what === 'is recorded already' ? [before] : [])
    expect(['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.9', 'fd00::1'].some(isHeld)).toBe(false)
    expect(store().inspect()).toEqual([])
  })
}
