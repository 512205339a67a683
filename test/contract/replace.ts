/** The part of the store's contract about giving an attachment another record. */
import { expect, it } from 'vitest'
import type { AttachmentRecord } from '../../ipam/ledger/record.ts'
import type { Store } from '../../ipam/ledger/store.ts'
import { formatIp } from '../../shared/address.ts'
import { ip } from '../shared/addresses.ts'
import { failureOf } from '../shared/failures.ts'
import { keyOf, recordOf } from './records.ts'

const nowMs = 1_700_000_000_000

export function contractOfReplace(store: () => Store): void {
  const put = (...records: readonly AttachmentRecord[]) => store().locked(() => store().put(records))
  const replace = (record: AttachmentRecord): string | undefined => {
    const taken = store().locked(() => store().replace(record, nowMs))
    return taken && formatIp(taken)
  }
  const isHeld = (address: string): boolean => store().isHeld('default', ip(address))
  const key = keyOf('a')
  const before = recordOf(key, ['10.0.0.1/24', 'fd00::1/64'])

  it.each<[string, AttachmentRecord]>([
    ['more', recordOf(key, ['10.0.0.1/24', 'fd00::1/64', '10.0.0.2/24'])],
    ['fewer', recordOf(key, ['fd00::1/64'])],
    ['others', recordOf(key, ['10.0.0.2/24', 'fd00::2/64'])],
    ['some others', recordOf(key, ['fd00::1/64', '10.0.0.2/24'])],
    ['no', recordOf(key, [])],
    ['the same', { ...before, link: { index: 7, mac: '02:00:00:00:00:01' } }],
  ])('replace() leaves the attachment exactly the record that has %s addresses', (_, after) => {
    const other = recordOf(keyOf('b'), ['10.0.0.9/24'])
    put(before, other)
    expect(replace(after)).toBeUndefined()
    expect(store().find(key)).toEqual(after)
    const wanted = after.leases.map(({ address }) => address.replace(/\/.*/, ''))
    expect(['10.0.0.1', '10.0.0.2', 'fd00::1', 'fd00::2'].filter(isHeld).sort()).toEqual(wanted.sort())
    for (const address of wanted) expect(store().holder('default', ip(address))).toEqual(after)
    expect(store().list().records).toHaveLength(2)
    expect(store().inspect()).toEqual([])
    expect(store().locked(() => store().remove(key, nowMs))).toBe(true)
    expect([store().list().records, wanted.some(isHeld)]).toEqual([[other], false])
  })

  it.each([
    ['first', ['10.0.0.9/24', '10.0.0.1/24', '10.0.0.2/24']],
    ['last', ['10.0.0.2/24', '10.0.0.1/24', '10.0.0.9/24']],
  ])('replace() names the address and changes nothing when the %s one is taken', (_, addresses) => {
    const other = recordOf(keyOf('b'), ['10.0.0.9/24'])
    put(before, other)
    expect(replace(recordOf(key, addresses))).toBe('10.0.0.9')
    expect([store().find(key), store().find(keyOf('b'))]).toEqual([before, other])
    expect(['10.0.0.1', 'fd00::1', '10.0.0.2', '10.0.0.9'].map(isHeld)).toEqual([true, true, false, true])
    expect(store().inspect()).toEqual([])
  })

  it('replace() takes nothing that is kept for the pod of the attachment', () => {
    const wish = { keepMs: 60_000, pod: { namespace: 'ns', name: 'pod' } }
    put(recordOf(keyOf('old'), ['10.0.0.9/24'], wish), before)
    store().locked(() => store().remove(keyOf('old'), nowMs))
    expect(replace(recordOf(key, ['10.0.0.9/24'], wish))).toBe('10.0.0.9')
    expect([store().find(key), store().list().kept.length]).toEqual([before, 1])
  })

  it('replace() fails with ERR_CONFLICT when the attachment is not recorded', () => {
    expect(failureOf(() => replace(before)).errorName).toBe('ERR_CONFLICT')
    expect(store().list().records).toEqual([])
  })
}
