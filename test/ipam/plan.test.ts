import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { mergeSpans, usableSpan } from '../../ipam/plan.ts'
import { formatIp, type Span } from '../../shared/address.ts'
import { cidr } from '../shared/addresses.ts'
import { spanOf } from './plans.ts'

const ends = ({ family, first, last }: Span): string[] => [first, last].map((value) => formatIp({ family, value }))

describe('usableSpan()', () => {
  it.each([
    ['10.0.0.0/24', '10.0.0.1', '10.0.0.254'],
    ['10.0.0.0/30', '10.0.0.1', '10.0.0.2'],
    ['10.0.0.0/31', '10.0.0.0', '10.0.0.1'],
    ['10.0.0.0/32', '10.0.0.0', '10.0.0.0'],
    ['0.0.0.0/0', '0.0.0.1', '255.255.255.254'],
    ['fd00::/64', 'fd00::1', 'fd00::ffff:ffff:ffff:fffe'],
    ['fd00::/126', 'fd00::1', 'fd00::2'],
    ['fd00::/127', 'fd00::', 'fd00::1'],
    ['fd00::/128', 'fd00::', 'fd00::'],
  ])('gives what hosts of %s may have', (network, first, last) => {
    expect(ends(usableSpan(cidr(network)))).toEqual([first, last])
  })
})

describe('mergeSpans()', () => {
  it.each<[string, string[], string[][]]>([
    ['nothing', [], []],
    ['spans that touch', ['10.0.0.0/25', '10.0.0.128/25'], [['10.0.0.0', '10.0.0.255']]],
    ['spans that overlap', ['10.0.0.0/24', '10.0.0.64/26'], [['10.0.0.0', '10.0.0.255']]],
    ['the same span twice', ['10.0.0.7', '10.0.0.7'], [['10.0.0.7', '10.0.0.7']]],
    [
      'spans apart, out of order',
      ['10.0.0.9', '10.0.0.7'],
      [
        ['10.0.0.7', '10.0.0.7'],
        ['10.0.0.9', '10.0.0.9'],
      ],
    ],
    ['a wide span after a narrow one of the same start', ['10.0.0.0', '10.0.0.0/24'], [['10.0.0.0', '10.0.0.255']]],
  ])('joins %s', (_, texts, merged) => {
    expect(mergeSpans(texts.map(spanOf)).map(ends)).toEqual(merged)
  })

  it('keeps what is contained, sorted and without overlap, when the spans are any', () => {
    const value = fc.nat(60)
    const span = fc
      .tuple(value, value)
      .map(([a, b]): Span => ({ family: 4, first: BigInt(Math.min(a, b)), last: BigInt(Math.max(a, b)) }))
    fc.assert(
      fc.property(fc.array(span), (spans) => {
        const merged = mergeSpans(spans)
        const inside = (list: readonly Span[]) => (one: number) =>
          list.some(({ first, last }) => first <= one && one <= last)
        const all = Array.from({ length: 62 }, (_, one) => one)
        expect(all.filter(inside(merged))).toEqual(all.filter(inside(spans)))
        for (const [index, { first }] of merged.entries()) {
          if (index > 0) expect(first).toBeGreaterThan((merged[index - 1]?.last ?? 0n) + 1n)
        }
      }),
    )
  })
})
