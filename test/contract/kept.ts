/** The part of the store's contract about addresses that are kept for a pod of the same name. */
import { expect, it } from 'vitest'
import { type AttachmentRecord, recordKey } from '../../ipam/ledger/record.ts'
import type { Store } from '../../ipam/ledger/store.ts'
import { formatIp } from '../../shared/address.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import { ip } from '../shared/addresses.ts'
import { keyOf, recordOf } from './records.ts'

const nowMs = 1_700_000_000_000
const addresses = ['10.0.0.1/24', 'fd00::1/64']

/** The record of a container of a pod whose addresses are kept. */
const podOf = (containerId: string, name: string, held = addresses, more: object = {}): AttachmentRecord => ({
  ...recordOf(keyOf(containerId), held, { keepMs: 60_000, pod: { namespace: 'ns', name } }),
  ...more,
})

/** The calls of the suite, each in the lock where it must be. */
function callsOf(store: () => Store) {
  const heldOf = (...texts: string[]): boolean[] => texts.map((text) => store().isHeld('default', ip(text)))
  return {
    put: (...records: readonly AttachmentRecord[]): (string | undefined)[] =>
      store()
        .locked(() => store().put(records))
        .map((taken) => taken && formatIp(taken)),
    remove: (key: AttachmentKey, atMs = nowMs): boolean => store().locked(() => store().remove(key, atMs)),
    heldOf,
    isHeld: (): boolean[] => heldOf('10.0.0.1', 'fd00::1'),
    keptOf: (record: AttachmentRecord) => store().findKept(record),
  }
}

export function contractOfKept(store: () => Store): void {
  contractOfKeeping(store)
  contractOfTakingOver(store)
  contractOfDropping(store)
}

function contractOfKeeping(store: () => Store): void {
  const { put, remove, isHeld, keptOf } = callsOf(store)

  it('remove() keeps the addresses for the pod when its record says so, and forgets the attachment', () => {
    const record = podOf('a', 'pod')
    put(record)
    expect(keptOf(record)).toBeUndefined()
    expect([remove(keyOf('a')), remove(keyOf('a'))]).toEqual([true, false])
    expect([store().find(keyOf('a')), isHeld()]).toEqual([undefined, [true, true]])
    expect(keptOf(podOf('b', 'pod', []))).toEqual({ record, sinceMs: nowMs })
    expect(store().list()).toEqual({ records: [], kept: [{ record, sinceMs: nowMs }], damaged: [] })
    expect(store().inspect()).toEqual([])
  })

  it.each<[string, AttachmentRecord]>([
    ['another pod', podOf('b', 'pod-2', [])],
    ['a pod of another namespace', podOf('b', 'pod', [], { pod: { namespace: 'ns-2', name: 'pod' } })],
    ['another network', podOf('b', 'pod', [], { network: 'other' })],
    ['another interface', podOf('b', 'pod', [], { ifName: 'net2' })],
    ['a pod that keeps nothing', recordOf(keyOf('b'), [], { pod: { namespace: 'ns', name: 'pod' } })],
    ['nobody known', recordOf(keyOf('b'), [], { keepMs: 60_000 })],
    ['a pod with commas at other places', podOf('b', 'pod', [], { pod: { namespace: 'ns,pod', name: '' } })],
  ])('findKept() finds nothing when it is asked for %s', (_, wanted) => {
    put(podOf('a', 'pod'))
    remove(keyOf('a'))
    expect(keptOf(wanted)).toBeUndefined()
    expect(put({ ...wanted, leases: podOf('b', 'pod').leases })).toEqual(['10.0.0.1'])
    expect(isHeld()).toEqual([true, true])
  })

  it.each<[string, AttachmentRecord['pod']]>([
    ['no pod', undefined],
    ['a pod without a namespace', { name: 'pod' }],
  ])('remove() keeps nothing when the record has %s', (_, pod) => {
    put(recordOf(keyOf('a'), addresses, { keepMs: 60_000, ...(pod === undefined ? {} : { pod }) }))
    remove(keyOf('a'))
    expect([isHeld(), store().list().kept]).toEqual([[false, false], []])
  })

  it.each(['../../etc', 'a,b', 'p'.repeat(253), '\u00e4'.repeat(200), '%2f', '\u{1F6A2}'.repeat(100)])(
    'remove() keeps the addresses when the pod is called %j',
    (name) => {
      put(podOf('a', name))
      expect(remove(keyOf('a'))).toBe(true)
      expect(keptOf(podOf('b', name))?.record.pod?.name).toBe(name)
      expect(store().list().kept).toHaveLength(1)
      expect(put(podOf('b', name))).toEqual([undefined])
      expect(store().list()).toMatchObject({ records: [{ containerId: 'b' }], kept: [], damaged: [] })
    },
  )
}

function contractOfTakingOver(store: () => Store): void {
  const { put, remove, heldOf, isHeld, keptOf } = callsOf(store)

  it('put() takes over what is kept for its pod, and nothing is kept any more', () => {
    put(podOf('a', 'pod'))
    remove(keyOf('a'))
    const next = podOf('b', 'pod')
    expect(put(next)).toEqual([undefined])
    expect([keptOf(next), store().list()]).toEqual([undefined, { records: [next], kept: [], damaged: [] }])
    expect(store().holder('default', ip('fd00::1'))).toEqual(next)
    expect(store().inspect()).toEqual([])
  })

  it('put() gives up what is kept for its pod when it takes other addresses, and what it does not take', () => {
    put(podOf('a', 'pod'))
    remove(keyOf('a'))
    expect(put(podOf('b', 'pod', ['10.0.0.1/24', '10.0.0.9/24']))).toEqual([undefined])
    expect([isHeld(), keptOf(podOf('c', 'pod'))]).toEqual([[true, false], undefined])
    expect(store().inspect()).toEqual([])
  })

  it('put() takes nothing over when another address of the record is taken', () => {
    put(podOf('a', 'pod'), recordOf(keyOf('z'), ['10.0.0.9/24']))
    remove(keyOf('a'))
    expect(put(podOf('b', 'pod', ['10.0.0.9/24', ...addresses]))).toEqual(['10.0.0.9'])
    expect([isHeld(), keptOf(podOf('b', 'pod'))?.record.containerId]).toEqual([[true, true], 'a'])
  })

  it('remove() keeps what was held last when the same pod is released twice', () => {
    put(podOf('a', 'pod'))
    remove(keyOf('a'))
    put(podOf('b', 'pod', ['10.0.0.9/24']))
    remove(keyOf('b'), nowMs + 5000)
    expect(keptOf(podOf('c', 'pod'))).toMatchObject({ record: { containerId: 'b' }, sinceMs: nowMs + 5000 })
    expect([isHeld(), heldOf('10.0.0.9')]).toEqual([[false, false], [true]])
    expect(store().list().kept).toHaveLength(1)
  })
}

function contractOfDropping(store: () => Store): void {
  const { put, remove, heldOf, isHeld, keptOf } = callsOf(store)

  it('dropKept() releases what is kept for this pod and nobody else', () => {
    put(podOf('a', 'pod'), podOf('b', 'pod-2', ['10.0.0.2/24']), podOf('c', 'pod-3', ['10.0.0.3/24']))
    remove(keyOf('b'))
    remove(keyOf('c'))
    store().locked(() => store().dropKept(podOf('x', 'pod-3', []), nowMs))
    store().locked(() => store().dropKept(podOf('x', 'pod-9', []), nowMs))
    expect(heldOf('10.0.0.1', '10.0.0.2', '10.0.0.3')).toEqual([true, true, false])
    expect(store().find(keyOf('a'))).toEqual(podOf('a', 'pod'))
    expect(keptOf(podOf('x', 'pod-2'))?.record.containerId).toBe('b')
    expect(put(recordOf(keyOf('d'), ['10.0.0.3/24']))).toEqual([undefined])
    expect(store().inspect()).toEqual([])
  })

  it('findKept() finds each pod its own when they were put together', () => {
    const pods = [1, 2, 3].map((index) => podOf(`c${index}`, `pod-${index}`, [`10.0.0.${index}/24`]))
    put(...pods)
    for (const pod of pods) remove(recordKey(pod))
    expect(pods.map((pod) => keptOf(pod)?.record)).toEqual(pods)
    const again = pods.map((pod) => ({ ...pod, containerId: `${pod.containerId}-again` }))
    expect(put(...again)).toEqual([undefined, undefined, undefined])
    expect(again.map((pod) => store().find(recordKey(pod)))).toEqual(again)
    expect([store().list().kept, store().inspect()]).toEqual([[], []])
  })

  it.each<[string, (store: Store, atMs: number) => void]>([
    ['restartKept()', (one, atMs) => one.restartKept(podOf('x', 'pod', []), atMs)],
    ['dropExpired()', (one, atMs) => one.dropExpired('default', ip('10.0.0.1'), atMs)],
    [
      'order()',
      (one, atMs) => {
        const { family, value } = ip('10.0.0.1')
        const wish = { key: keyOf('x'), blocked: [], coolDownMs: 0, nowMs: atMs }
        expect([...one.order('default', { family, first: value, last: value }).candidates(wish)]).toHaveLength(1)
      },
    ],
  ])('%s keeps from now on what is kept since a time to come', (_, look) => {
    put(podOf('a', 'pod'))
    remove(keyOf('a'))
    const earlierMs = nowMs - 86_400_000
    store().locked(() => look(store(), earlierMs))
    expect(keptOf(podOf('x', 'pod'))?.sinceMs).toBe(earlierMs)
    store().locked(() => store().dropExpired('default', ip('10.0.0.1'), earlierMs + 60_001))
    expect([isHeld(), store().list().kept]).toEqual([[false, false], []])
  })

  it('forget() keeps nothing for anybody', () => {
    put(podOf('a', 'pod'))
    expect(store().locked(() => store().forget(keyOf('a'), nowMs))).toBe(true)
    expect([isHeld(), keptOf(podOf('b', 'pod')), store().list().kept]).toEqual([[false, false], undefined, []])
    expect(store().locked(() => store().forget(keyOf('a'), nowMs))).toBe(false)
  })
}
