import { describe, expect, it } from 'vitest'
import { keyed, nearMisses, readKeys } from '../../../shared/cni/keys.ts'
import * as z from '../../../shared/cni/schema.ts'
import { failureOf } from '../failures.ts'

const schema = keyed({
  mtu: z._default(z.int(), 0),
  mode: z._default(z.enum(['bridge', 'vepa']), 'bridge'),
  ipam: z.optional(keyed({ rangeStart: z.string() })),
  routes: z._default(z.array(keyed({ dst: z.string() })), []),
})

describe('keyed()', () => {
  it.each([
    ['exactly', { mtu: 1400 }, 1400],
    ['in capitals', { MTU: 1400 }, 1400],
    ['in mixed case', { mTu: 1400 }, 1400],
    ['exactly besides another way, before it', { mtu: 1400, MTU: 9000 }, 1400],
    ['exactly besides another way, after it', { MTU: 9000, mtu: 1400 }, 1400],
    ['not at all', {}, 0],
    ['as null', { mtu: null }, 0],
    ['as null in capitals', { MTU: null }, 0],
  ])('finds a key when it is spelled %s', (_, raw, mtu) => {
    expect(readKeys(schema, raw, '').mtu).toBe(mtu)
  })

  it('folds keys on every level', () => {
    const raw = { IPAM: { RangeStart: '10.0.0.1' }, Routes: [{ DST: '::/0' }] }
    expect(readKeys(schema, raw, '')).toMatchObject({ ipam: { rangeStart: '10.0.0.1' }, routes: [{ dst: '::/0' }] })
  })

  it('drops what it does not know', () => {
    const raw = JSON.parse('{"other": 1, "__proto__": {"mtu": 5}, "constructor": 2}')
    expect(readKeys(schema, raw, '')).toEqual({ mtu: 0, mode: 'bridge', routes: [] })
  })
})

describe('readKeys()', () => {
  it.each<[string, unknown, string, string]>([
    ['a text for a number', { mtu: 'big' }, '', 'Cannot read "mtu": "big": must be number'],
    ['a fraction for a whole number', { MTU: 1.5 }, '', 'Cannot read "mtu": 1.5: must be a whole number'],
    ['a word that is none of the list', { mode: 'x' }, '', 'Cannot read "mode": "x": must be one of bridge, vepa'],
    ['a list for an object', { ipam: [] }, '', 'Cannot read "ipam": []: must be an object'],
    ['an object without a needed key', { ipam: {} }, '', 'Cannot read "ipam.rangeStart": nothing: must be string'],
    [
      'a wrong entry of a list',
      { Routes: [{ dst: '' }, { DST: 5 }] },
      '',
      'Cannot read "routes.1.dst": 5: must be string',
    ],
    ['an object for a list', { routes: {} }, 'top', 'Cannot read "top.routes": {}: must be array'],
    ['a list for the whole', [], '', 'Cannot read "the config": []: must be an object'],
    ['a text for the whole', 'x', 'prevResult', 'Cannot read "prevResult": "x": must be an object'],
  ])('names the key, the value and what it must be when given %s', (_, raw, where, message) => {
    const failure = failureOf(() => readKeys(schema, raw, where))
    expect([failure.errorName, failure.message]).toEqual(['ERR_CONFIG', message])
  })

  it('quotes the beginning of a value when it is very long', () => {
    const { message } = failureOf(() => readKeys(schema, { mtu: 'x'.repeat(5000) }, ''))
    expect(message).toContain('"mtu": "xxxx')
    expect(message.length).toBeLessThan(300)
  })

  it('quotes the value that counts when a key is spelled in two ways', () => {
    expect(failureOf(() => readKeys(schema, { MTU: 9000, mtu: 'big' }, '')).message).toContain('"big"')
  })
})

const known = ['master', 'mode', 'mac', 'range', 'range_start', 'ipRanges']

describe('nearMisses()', () => {
  it.each([
    ['a letter too many', 'masster', 'master'],
    ['a letter too few', 'maste', 'master'],
    ['another letter', 'moda', 'mode'],
    ['two letters swapped', 'ragne', 'range'],
    ['a dash for an underscore', 'range-start', 'range_start'],
    ['an underscore left out', 'rangestart', 'range_start'],
    ['a slip and other capitals', 'RAGNE', 'range'],
    ['a plural', 'ranges', 'range'],
  ])('warns of %s', (_, typed, meant) => {
    const warnings = nearMisses({ [typed]: 1 }, known, 'ipam.')
    expect(warnings).toEqual([`unknown key "ipam.${typed}" is ignored; did you mean "${meant}"?`])
  })

  it.each([
    ['a known key', 'master'],
    ['a known key in other capitals', 'MASTER'],
    ['another key of three letters', 'max'],
    ['a key that is three slips away', 'mastewxyz'],
    ['a longer key that starts alike', 'masterInterface'],
    ['a key like none', 'vlan'],
    ['an empty key', ''],
  ])('says nothing of %s', (_, typed) => {
    expect(nearMisses({ [typed]: 1 }, known, '')).toEqual([])
  })

  it('means the nearest when several known keys are near', () => {
    expect(nearMisses({ ipRange: 1 }, known, '')).toEqual([
      'unknown key "ipRange" is ignored; did you mean "ipRanges"?',
    ])
  })

  it('warns once for each key that is nearly known', () => {
    expect(nearMisses({ masterr: 1, mode: 'bridge', modee: 2, unrelated: 3 }, known, '')).toHaveLength(2)
  })

  it.each([undefined, null, 'masterr', 5, ['masterr']])('says nothing of %j, which has no keys', (raw) => {
    expect(nearMisses(raw, known, '')).toEqual([])
  })
})
