import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  addressName,
  attachmentName,
  isAttachmentName,
  isKeptName,
  isLeftOverName,
  keptName,
  keptNameOf,
  orderGives,
  orderName,
  parseAddressName,
  parseAttachmentName,
  parseTemporaryName,
  temporaryName,
} from '../../../ipam/ledger/names.ts'
import type { Family, Ip } from '../../../shared/address.ts'
import { keyOf, recordOf } from '../../contract/records.ts'
import { ip } from '../../shared/addresses.ts'
import { spanOf } from '../plans.ts'

const ips = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }).map((value): Ip => ({ family: 4, value })),
  fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map((value): Ip => ({ family: 6, value })),
)
const spaces = fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9_.:@-]{0,40}$/)

describe('addressName()', () => {
  it.each([
    ['default', '10.0.0.7', '10.0.0.7'],
    ['blue', '10.0.0.7', '10.0.0.7@blue'],
    ['default', 'FD00:0:0::7', 'fd00::7'],
    ['blue:fd00::-64', 'fd00::7', 'fd00::7@blue:fd00::-64'],
  ])('writes the space behind it unless that is the default one, for %s %s', (space, text, name) => {
    expect(addressName(space, ip(text))).toBe(name)
  })

  it('is read back when the space and the address are any, and is no other kind of name', () => {
    fc.assert(
      fc.property(ips, spaces, (one, space) => {
        const name = addressName(space, one)
        expect(parseAddressName(name)).toEqual({ space, ip: one })
        expect([isAttachmentName(name), isKeptName(name), isLeftOverName(name)]).toEqual([false, false, false])
      }),
    )
  })

  it.each(['', 'README', '10.0.0', '10.0.0.256', '@blue', 'storage,a,net1', '.new,a', '~a,b,c,d', '10.0.0.7 @blue'])(
    'is not read out of %j',
    (name) => {
      expect(parseAddressName(name)).toBeUndefined()
    },
  )
})

describe('attachmentName()', () => {
  it.each([
    keyOf('ctr-1'),
    keyOf('ctr-1', { ifName: 'a,b,,c' }),
    keyOf('ctr-1', { ifName: ',' }),
    keyOf('10.0.0.7', { network: '10.0.0.7', ifName: '10.0.0.7' }),
    keyOf('c'.repeat(128), { network: 'n'.repeat(100), ifName: 'i'.repeat(15) }),
  ])('is read back when it is of %j', (key) => {
    const name = attachmentName(key)
    expect(Buffer.byteLength(temporaryName(key))).toBeLessThanOrEqual(255)
    expect([parseAttachmentName(name), parseTemporaryName(temporaryName(key))]).toEqual([key, key])
    expect(parseTemporaryName(name)).toBeUndefined()
    expect([isAttachmentName(name), isKeptName(name), isLeftOverName(name)]).toEqual([true, false, false])
    expect([isAttachmentName(temporaryName(key)), isLeftOverName(temporaryName(key))]).toEqual([false, true])
  })

  it.each(['a', 'a,b', '10.0.0.7'])('is not read out of %j', (name) => {
    expect(parseAttachmentName(name)).toBeUndefined()
  })
})

describe('keptName()', () => {
  const pod = { namespace: 'ns', name: 'pod' }

  it('says network, namespace, pod and interface, and nothing of the container', () => {
    expect(keptName(keyOf('ctr-1'), pod)).toBe('~storage,ns,pod,net1')
    const name = keptName(keyOf('ctr-1', { ifName: 'a,b' }), pod)
    expect([name, isKeptName(name), isAttachmentName(name)]).toEqual(['~storage,ns,pod,a,b', true, false])
  })

  it('tells pods apart when their names have commas, slashes and zeros', () => {
    const names = [
      ['a,b', 'c'],
      ['a', 'b,c'],
      ['a%2cb', 'c'],
      ['a', 'b/c'],
      ['a', 'b\0c'],
      ['a', 'b%2fc'],
    ].map(([namespace = '', name = '']) => keptName(keyOf('x'), { namespace, name }))
    expect(new Set(names).size).toBe(6)
    for (const name of names) expect(name).not.toMatch(/[/\0]/)
  })

  it.each([
    ['letters', 'p'],
    ['letters of two bytes', '\u00e4'],
    ['letters of four bytes', '\u{1F6A2}'],
  ])('is no longer than a file name may be, and tells long names apart, when they are %s', (_, letter) => {
    const names = Array.from({ length: 260 }, (_unused, length) =>
      keptName(keyOf('x'), { namespace: 'ns', name: letter.repeat(length) }),
    )
    expect(Math.max(...names.map((name) => Buffer.byteLength(name)))).toBeLessThanOrEqual(255)
    expect(new Set(names).size).toBe(260)
    const ends = ['a', 'b'].map((end) => keptName(keyOf('x'), { namespace: 'ns', name: letter.repeat(253) + end }))
    expect(ends[0]).not.toBe(ends[1])
  })

  it('is undefined for a record when nothing is kept, or nobody knows for whom', () => {
    expect(keptNameOf(recordOf(keyOf('a'), [], { keepMs: 0, pod }))).toBe('~storage,ns,pod,net1')
    for (const wish of [{ pod }, { keepMs: 1 }, { keepMs: 1, pod: { name: 'pod' } }, { keepMs: 1, pod: { uid: 'u' } }])
      expect(keptNameOf(recordOf(keyOf('a'), [], wish))).toBeUndefined()
  })
})

describe('orderGives()', () => {
  const values = (family: Family) => fc.bigInt({ min: 0n, max: family === 4 ? 2n ** 32n - 1n : 2n ** 128n - 1n })

  it('goes by the span and the space of an order when these are any', () => {
    const cases = fc
      .constantFrom<Family>(4, 6)
      .chain((family) => fc.tuple(fc.constant(family), values(family), values(family), values(family), spaces))
    fc.assert(
      fc.property(cases, ([family, a, b, value, space]) => {
        const span = { family, first: a < b ? a : b, last: a < b ? b : a }
        const name = orderName(space, span)
        const inside = span.first <= value && value <= span.last
        expect(orderGives(name, space, { family, value })).toBe(inside)
        expect(orderGives(name, space, { family, value: span.first })).toBe(true)
        expect(orderGives(name, space, { family, value: span.last })).toBe(true)
        expect(orderGives(name, `${space}x`, { family, value: span.first })).toBe(false)
        expect(orderGives(name, space, { family: family === 4 ? 6 : 4, value })).toBe(false)
      }),
    )
  })

  it.each(['', '10.0.0.1', 'x-y', '10.0.0.1-', '10.0.0.1-10.0.0.9.new'])('says no when the name is %j', (name) => {
    expect(orderGives(name, 'default', ip('10.0.0.5'))).toBe(false)
  })

  it('is asked by a name that a file may have when the span and the space are the longest', () => {
    const span = { ...spanOf('ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe'), last: 2n ** 128n - 1n }
    const space = `${'n'.repeat(100)}:ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe-127`
    expect(orderName(space, span).length).toBeLessThanOrEqual(251)
  })
})
