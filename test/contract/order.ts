/** The part of the store's contract about the order in which free addresses are given. */
import { expect, it } from 'vitest'
import type { AttachmentRecord } from '../../ipam/ledger/record.ts'
import type { OrderWish, Store } from '../../ipam/ledger/store.ts'
import { formatIp, type Ip, type Span } from '../../shared/address.ts'
import { ip } from '../shared/addresses.ts'
import { keyOf, recordOf } from './records.ts'

const nowMs = 1_700_000_000_000
const coolDownMs = 30_000
const spanOf = (first: string, last: string): Span => ({
  family: ip(first).family,
  first: ip(first).value,
  last: ip(last).value,
})
const one = (text: string): Span => spanOf(text, text)
const small = spanOf('10.0.0.1', '10.0.0.6')

function callsOf(store: () => Store) {
  /** Claims the first `count` free addresses for containers of their names, one after the other. */
  function give(count: number, { span = small, ...wish }: Partial<OrderWish> & { span?: Span } = {}): string[] {
    return store().locked(() => {
      const order = store().order('default', span)
      const given: Ip[] = []
      for (let round = 0; round < count; round++) {
        for (const candidate of order.candidates({ key: keyOf('new'), blocked: [], coolDownMs, nowMs, ...wish })) {
          if (store().isHeld('default', candidate)) continue
          store().put([recordOf(keyOf(`c-${formatIp(candidate)}`), [`${formatIp(candidate)}/24`])])
          given.push(candidate)
          break
        }
      }
      order.save()
      return given.map(formatIp)
    })
  }
  const put = (record: AttachmentRecord) => store().locked(() => store().put([record]))
  const free = (address: string, atMs: number): boolean =>
    store().locked(() => store().remove(keyOf(`c-${address}`), atMs))
  return { give, put, free }
}

export function contractOfOrder(store: () => Store): void {
  contractOfTurns(store)
  contractOfSpans(store)
}

function contractOfTurns(store: () => Store): void {
  const { give, put, free } = callsOf(store)

  it('order() gives the lowest first and passes over what is held and what is blocked', () => {
    put(recordOf(keyOf('a'), ['10.0.0.2/24']))
    expect(give(2, { blocked: [one('10.0.0.3')] })).toEqual(['10.0.0.1', '10.0.0.4'])
    expect(give(9)).toEqual(['10.0.0.5', '10.0.0.6', '10.0.0.3'])
    expect(give(1)).toEqual([])
  })

  it('order() gives what was freed long ago first, then what was never given, then what rests', () => {
    give(4)
    free('10.0.0.3', nowMs - 2 * coolDownMs)
    free('10.0.0.1', nowMs - coolDownMs)
    free('10.0.0.2', nowMs - 1)
    expect(give(9)).toEqual(['10.0.0.3', '10.0.0.1', '10.0.0.5', '10.0.0.6', '10.0.0.2'])
  })

  it('order() gives an attachment first what it freed itself', () => {
    give(3)
    free('10.0.0.1', nowMs - 2 * coolDownMs)
    free('10.0.0.2', nowMs)
    expect(give(2, { key: keyOf('c-10.0.0.2') })).toEqual(['10.0.0.2', '10.0.0.1'])
  })

  it('order() gives a blocked address to nobody, however it was freed', () => {
    put(recordOf(keyOf('c-10.0.0.4'), ['10.0.0.4/24']))
    free('10.0.0.4', 0)
    expect(give(9, { key: keyOf('c-10.0.0.4'), blocked: [one('10.0.0.4')] })).toHaveLength(5)
  })
}

function contractOfSpans(store: () => Store): void {
  const { give, put, free } = callsOf(store)

  it('order() gives what was freed in another span that has it too', () => {
    const other = spanOf('10.0.0.4', '10.0.0.9')
    expect([give(4), give(1, { span: other })]).toEqual([
      ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'],
      ['10.0.0.5'],
    ])
    free('10.0.0.4', nowMs - coolDownMs)
    expect(give(2, { span: other })).toEqual(['10.0.0.4', '10.0.0.6'])
  })

  it('order() keeps spaces apart', () => {
    give(6)
    const candidates = store().locked(() => [
      ...store()
        .order('blue', small)
        .candidates({ key: keyOf('new'), blocked: [], coolDownMs, nowMs }),
    ])
    expect(new Set(candidates.map(formatIp)).size).toBe(6)
  })

  it('order() finds all that is free when nothing else is left, also what is kept too long', () => {
    put(recordOf(keyOf('a'), ['10.0.0.2/24'], { keepMs: 1000, pod: { namespace: 'ns', name: 'pod' } }))
    give(9)
    store().locked(() => store().remove(keyOf('a'), nowMs))
    expect(give(1, { nowMs: nowMs + 1000 })).toEqual([])
    expect(give(2, { nowMs: nowMs + 2000 })).toEqual(['10.0.0.2'])
  })

  it('order() walks no blocked span when it is nearly all of a /64', () => {
    const span = spanOf('fd00::1', 'fd00::ffff:ffff:ffff:fffe')
    const blocked = [spanOf('fd00::', 'fd00::fff0:0:0:0')]
    expect(give(1, { span, blocked })).toEqual(['fd00::fff0:0:0:1'])
    free('fd00::fff0:0:0:1', 0)
    expect(give(2, { span, blocked })).toEqual(['fd00::fff0:0:0:1', 'fd00::fff0:0:0:2'])
  })
}
