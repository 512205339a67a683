/** What every Store does. Each implementation runs this suite in a test file of its own. */
import * as fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { type AttachmentRecord, recordKey } from '../../ipam/ledger/record.ts'
import type { Store } from '../../ipam/ledger/store.ts'
import { formatIp } from '../../shared/address.ts'
import { ip } from '../shared/addresses.ts'
import { failureOf } from '../shared/failures.ts'
import { contractOfKept } from './kept.ts'
import { contractOfOrder } from './order.ts'
import { contractOfPutTogether } from './put-together.ts'
import { keyOf, recordOf } from './records.ts'
import { contractOfReplace } from './replace.ts'

/** The time of releases. */
const nowMs = 1_700_000_000_000

const put = (store: Store, record: AttachmentRecord): string | undefined => {
  const [taken] = store.locked(() => store.put([record]))
  return taken && formatIp(taken)
}
const replace = (store: Store, record: AttachmentRecord): string | undefined => {
  const taken = store.locked(() => store.replace(record, nowMs))
  return taken && formatIp(taken)
}
const remove = (store: Store, containerId: string): boolean =>
  store.locked(() => store.remove(keyOf(containerId), nowMs))

/** Runs the suite; `make` gives a store in which nothing was ever claimed. */
export function storeContract(name: string, make: () => Store): void {
  describe(`${name} as a Store`, () => {
    let store: Store
    beforeEach(() => {
      store = make()
    })

    contractOfEmpty(() => store)
    contractOfLocked(() => store)
    contractOfPut(() => store)
    contractOfPutTogether(() => store)
    contractOfFind(() => store)
    contractOfRemove(() => store)
    contractOfComplete(() => store)
    contractOfReplace(() => store)
    contractOfKept(() => store)
    contractOfOrder(() => store)
    contractOfSequences(make)
  })
}

function contractOfEmpty(store: () => Store): void {
  it('exists() says no until something is claimed, however often it is asked', () => {
    expect(store().exists()).toBe(false)
    expect(store().find(keyOf('a'))).toBeUndefined()
    expect(store().isHeld('default', ip('10.0.0.1'))).toBe(false)
    expect(store().holder('default', ip('10.0.0.1'))).toBeUndefined()
    expect(store().list()).toEqual({ records: [], kept: [], damaged: [] })
    expect([...store().records()]).toEqual([])
    expect(store().remove(keyOf('a'), nowMs)).toBe(false)
    expect(store().exists()).toBe(false)
    put(store(), recordOf(keyOf('a'), []))
    expect(store().exists()).toBe(true)
  })

  it('checkWritable() says nothing when a claim can be written, before the first one and after', () => {
    expect(() => store().checkWritable()).not.toThrow()
    put(store(), recordOf(keyOf('a'), ['10.0.0.1/24']))
    expect(() => store().checkWritable()).not.toThrow()
  })
}

function contractOfLocked(store: () => Store): void {
  it('locked() answers what the work answers', () => {
    expect(store().locked(() => 'answer')).toBe('answer')
  })

  it('locked() passes on what the work throws, and lets the next one in', () => {
    const failure = new Error('no')
    const throwing = () =>
      store().locked(() => {
        throw failure
      })
    expect(throwing).toThrow(failure)
    expect(store().locked(() => 'next')).toBe('next')
  })
}

function contractOfPut(store: () => Store): void {
  const whole = recordOf(keyOf('a'), ['10.0.0.1/24', 'fd00::1/64'], {
    space: 'blue',
    keepMs: 1000,
    link: { index: 1_048_577, mac: '02:00:00:00:00:01' },
    netns: { path: '/run/netns/a', dev: 4, ino: 4_026_531_840 },
    pod: { namespace: 'ns', name: 'pod \u00e4', uid: 'u' },
  })

  it.each([
    ['all it can have', whole],
    ['no address', recordOf(keyOf('a'), [])],
    [
      'the longest key',
      recordOf({ network: 'n'.repeat(100), containerId: 'c'.repeat(128), ifName: 'i'.repeat(15) }, ['10.0.0.1/24']),
    ],
    ['letters of many bytes in its key', recordOf(keyOf('a', { ifName: '\u{1F6A2}\u{1F6A2}' }), ['10.0.0.1/24'])],
  ])('put() keeps a record with %s', (_, record) => {
    expect(put(store(), record)).toBeUndefined()
    expect(store().find(recordKey(record))).toEqual(record)
    expect(store().list()).toEqual({ records: [record], kept: [], damaged: [] })
  })

  it('put() makes every address held, in its space only', () => {
    put(store(), whole)
    for (const address of ['10.0.0.1', 'fd00::1']) {
      expect(store().isHeld('blue', ip(address))).toBe(true)
      expect(store().holder('blue', ip(address))).toEqual(whole)
      expect(store().isHeld('default', ip(address))).toBe(false)
      expect(store().holder('default', ip(address))).toBeUndefined()
    }
    expect(store().isHeld('blue', ip('0:0::10.0.0.1'))).toBe(false)
    expect(store().isHeld('blue', ip('fd00:0::0001'))).toBe(true)
  })

  it.each([
    ['first', ['10.0.0.9/24', '10.0.0.2/24', '10.0.0.3/24']],
    ['last', ['10.0.0.2/24', '10.0.0.3/24', '10.0.0.9/24']],
  ])('put() keeps nothing and names the address when the %s one is taken', (_, addresses) => {
    const holder = recordOf(keyOf('a'), ['10.0.0.9/16'])
    put(store(), holder)
    expect(put(store(), recordOf(keyOf('b'), addresses))).toBe('10.0.0.9')
    expect(store().find(keyOf('b'))).toBeUndefined()
    expect(['10.0.0.2', '10.0.0.3'].some((address) => store().isHeld('default', ip(address)))).toBe(false)
    expect(store().holder('default', ip('10.0.0.9'))).toEqual(holder)
    expect(store().list().records).toEqual([holder])
  })

  it('put() takes the same address in another space', () => {
    expect(put(store(), recordOf(keyOf('a'), ['10.0.0.1/24']))).toBeUndefined()
    expect(put(store(), recordOf(keyOf('b'), ['10.0.0.1/24'], { space: 'blue' }))).toBeUndefined()
    expect(store().holder('blue', ip('10.0.0.1'))).toMatchObject({ containerId: 'b' })
  })

  it('put() fails and changes nothing when the attachment is recorded already', () => {
    const first = recordOf(keyOf('a'), ['10.0.0.1/24'])
    put(store(), first)
    const { errorName } = failureOf(() => put(store(), recordOf(keyOf('a'), ['10.0.0.2/24'])))
    expect(errorName).toBe('ERR_CONFLICT')
    expect(store().find(keyOf('a'))).toEqual(first)
    expect(store().isHeld('default', ip('10.0.0.2'))).toBe(false)
  })
}

function contractOfFind(store: () => Store): void {
  it('find() tells keys apart that are alike', () => {
    const keys = [
      keyOf('b', { network: 'a', ifName: 'c,d' }),
      keyOf('b', { network: 'a', ifName: 'c' }),
      keyOf('b', { network: 'a', ifName: 'C' }),
      keyOf('b.c', { network: 'a', ifName: 'd' }),
      keyOf('c', { network: 'a.b', ifName: 'd' }),
      keyOf('a', { network: 'b', ifName: 'c' }),
    ]
    for (const [index, key] of keys.entries()) put(store(), recordOf(key, [`10.0.0.${index + 1}/24`]))
    const found = keys.map((key) => store().find(key)?.leases[0]?.address)
    expect(found).toEqual(keys.map((_, index) => `10.0.0.${index + 1}/24`))
    expect(store().find(keyOf('b', { network: 'a', ifName: 'd' }))).toBeUndefined()
  })
}

function contractOfRemove(store: () => Store): void {
  it('remove() frees all addresses of the attachment and forgets it', () => {
    put(store(), recordOf(keyOf('a'), ['10.0.0.1/24', 'fd00::1/64']))
    expect(remove(store(), 'a')).toBe(true)
    expect(store().find(keyOf('a'))).toBeUndefined()
    expect(['10.0.0.1', 'fd00::1'].some((address) => store().isHeld('default', ip(address)))).toBe(false)
    expect(store().list()).toEqual({ records: [], kept: [], damaged: [] })
    expect(remove(store(), 'a')).toBe(false)
    expect(put(store(), recordOf(keyOf('b'), ['10.0.0.1/24', 'fd00::1/64']))).toBeUndefined()
  })

  it('remove() leaves everybody else alone', () => {
    const others = [
      recordOf(keyOf('b'), ['10.0.0.2/24']),
      recordOf(keyOf('a', { ifName: 'net2' }), ['10.0.0.3/24']),
      recordOf(keyOf('a', { network: 'other' }), ['10.0.0.1/24'], { space: 'blue' }),
    ]
    for (const record of [recordOf(keyOf('a'), ['10.0.0.1/24']), ...others]) put(store(), record)
    remove(store(), 'a')
    expect(others.map((record) => store().find(recordKey(record)))).toEqual(others)
    expect(store().holder('blue', ip('10.0.0.1'))).toEqual(others[2])
    expect(store().list().records).toHaveLength(3)
  })
}

function contractOfComplete(store: () => Store): void {
  it('complete() answers the record and changes nothing when the record is whole', () => {
    const record = recordOf(keyOf('a'), ['10.0.0.1/24', 'fd00::1/64'])
    put(store(), record)
    expect(store().locked(() => store().complete(record, nowMs))).toEqual(record)
    expect(store().list()).toEqual({ records: [record], kept: [], damaged: [] })
    expect(remove(store(), 'a')).toBe(true)
    expect(store().isHeld('default', ip('10.0.0.1'))).toBe(false)
  })
}

type Step =
  | { readonly put: string; readonly addresses: readonly string[] }
  | { readonly replace: string; readonly addresses: readonly string[] }
  | { readonly remove: string }

const names = fc.constantFrom('a', 'b', 'c')
const addresses = fc.uniqueArray(fc.constantFrom('10.0.0.1/24', '10.0.0.2/24', '10.0.0.3/24', 'fd00::1/64'), {
  maxLength: 3,
})
const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ put: names, addresses }),
  fc.record({ replace: names, addresses }),
  names.map((one) => ({ remove: one })),
)

/** Does the step to the store and to the model, and says whether both answered alike. */
function stepBoth(store: Store, model: Map<string, readonly string[]>, step: Step): void {
  if ('remove' in step) {
    expect(remove(store, step.remove)).toBe(model.delete(step.remove))
    return
  }
  const name = 'put' in step ? step.put : step.replace
  const record = recordOf(keyOf(name), step.addresses)
  const write = () => ('put' in step ? put(store, record) : replace(store, record))
  if (model.has(name) === 'put' in step) {
    expect(failureOf(write).errorName).toBe('ERR_CONFLICT')
    return
  }
  const others = [...model].filter(([one]) => one !== name).flatMap(([, addresses]) => addresses)
  const taken = step.addresses.find((address) => others.includes(address))
  expect(write()).toBe(taken?.replace(/\/.*/, ''))
  if (taken === undefined) model.set(name, step.addresses)
}

function contractOfSequences(make: () => Store): void {
  it('holds what was put and not removed, whatever the order', () => {
    fc.assert(
      fc.property(fc.array(steps, { maxLength: 12 }), (sequence) => {
        const store = make()
        const model = new Map<string, readonly string[]>()
        for (const step of sequence) stepBoth(store, model, step)
        const listed = new Map<string, readonly string[]>()
        for (const { containerId, leases } of store.list().records) {
          const held = leases.map(({ address }) => address)
          listed.set(containerId, held)
        }
        expect(listed).toEqual(model)
        for (const text of ['10.0.0.1', '10.0.0.2', '10.0.0.3', 'fd00::1']) {
          const wanted = [...model].find(([, held]) => held.some((address) => address.startsWith(`${text}/`)))
          expect(store.holder('default', ip(text))?.containerId).toBe(wanted?.[0])
          expect(store.isHeld('default', ip(text))).toBe(wanted !== undefined)
        }
      }),
      { numRuns: 60 },
    )
  })
}
