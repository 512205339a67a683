/** The library `ip-address` reads and writes the same texts; whatever it is given, both must agree. */
import * as fc from 'fast-check'
import { Address4, Address6 } from 'ip-address'
import { describe, expect, it } from 'vitest'
import {
  cidrNetwork,
  cidrSpan,
  formatCidr,
  formatIp,
  type Ip,
  ipBytes,
  ipFromBytes,
  parseCidr,
  parseIp,
  spanContains,
} from '../../shared/address.ts'
import { cidr, ip } from './addresses.ts'

const runs = { numRuns: 1500 }

/** Bits of an address with runs of zero groups, which uniform numbers hardly ever have. */
const sparse = fc
  .array(fc.oneof(fc.constant(0), fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 })
  .map((groups) => groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n))

const v4: fc.Arbitrary<Ip> = fc.nat(0xffffffff).map((value): Ip => ({ family: 4, value: BigInt(value) }))
const v6: fc.Arbitrary<Ip> = fc
  .oneof(sparse, fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }))
  .map((value): Ip => ({ family: 6, value }))
const anyIp = fc.oneof(v4, v6)

const libraryOf = ({ family, value }: Ip): Address4 | Address6 =>
  family === 4 ? Address4.fromBigInt(value) : Address6.fromBigInt(value)

/** Every text of an address, not only the canonical one: padded groups, no "::", capitals, a quad at the end. */
const spelled = anyIp.chain((one) => {
  const library = libraryOf(one)
  const texts = [library.correctForm()]
  if (library instanceof Address6)
    texts.push(library.canonicalForm(), library.correctForm().toUpperCase(), library.to4in6())
  return fc.constantFrom(...texts).map((text) => ({ text, value: one.value }))
})

const noise = fc.constantFrom('0', '1', '9', 'f', 'g', ':', '::', '.', ' ', '-', '00', '256', '1.2.3.4', '')

/** A text that may be an address or nearly one: some of it replaced, removed or doubled. */
const mutated = fc
  .tuple(spelled, fc.nat(45), fc.nat(3), noise)
  .map(([{ text }, at, removed, added]) => text.slice(0, at) + added + text.slice(at + removed))

const pieces = fc.constantFrom('0', '1', '10', '255', '256', 'a', 'ffff', '0001', ':', ':', '::', '.', '.', '1.2.3.4')
const assembled = fc.array(pieces, { maxLength: 17 }).map((parts) => parts.join(''))

/** What the library makes of a text, or undefined. A text with "/" or "%" is none to us and must not come here. */
function readByLibrary(text: string): bigint | undefined {
  if (text.includes(':')) return Address6.isValid(text) ? new Address6(text).bigInt() : undefined
  return Address4.isValid(text) ? new Address4(text).bigInt() : undefined
}

describe('parseIp() and formatIp()', () => {
  it('agree with the library when the text is an address', () => {
    fc.assert(
      fc.property(spelled, ({ text, value }) => {
        expect(parseIp(text)?.value).toBe(value)
      }),
      runs,
    )
  })

  it.each([
    ['damaged', mutated],
    ['assembled at random', assembled],
  ])('agree with the library when the text is %s', (_, texts) => {
    fc.assert(
      fc.property(texts, (text) => {
        expect(parseIp(text)?.value).toBe(readByLibrary(text))
      }),
      { numRuns: 6000 },
    )
  })

  it('write what the library writes when the address is any', () => {
    fc.assert(
      fc.property(anyIp, (one) => {
        expect(formatIp(one)).toBe(libraryOf(one).correctForm())
      }),
      runs,
    )
  })

  it('are inverse when the address is any', () => {
    fc.assert(
      fc.property(anyIp, (one) => {
        expect(parseIp(formatIp(one))).toEqual(one)
        expect(ipFromBytes(ipBytes(one))).toEqual(one)
      }),
      runs,
    )
  })
})

describe('the generated texts', () => {
  it('hold addresses and others when damaged, so that agreement means something', () => {
    for (const texts of [mutated, assembled]) {
      const valid = fc
        .sample(texts, { numRuns: 2000, seed: 7 })
        .filter((text) => readByLibrary(text) !== undefined).length
      expect(valid).toBeGreaterThan(20)
      expect(valid).toBeLessThan(1980)
    }
  })
})

const anyCidr = anyIp.chain((one) => fc.nat(one.family === 4 ? 32 : 128).map((prefix) => `${formatIp(one)}/${prefix}`))

describe('cidrSpan() and cidrNetwork()', () => {
  it('agree with the library when the prefix is any', () => {
    fc.assert(
      fc.property(anyCidr, (text) => {
        const library = text.includes(':') ? new Address6(text) : new Address4(text)
        const span = cidrSpan(cidr(text))
        expect(span.first).toBe(library.startAddress().bigInt())
        expect(span.last).toBe(library.endAddress().bigInt())
        expect(formatCidr(cidrNetwork(cidr(text)))).toBe(`${library.startAddress().correctForm()}${library.subnet}`)
      }),
      runs,
    )
  })

  it('contain their address and not their neighbours when the prefix is any', () => {
    fc.assert(
      fc.property(anyCidr, (text) => {
        const span = cidrSpan(cidr(text))
        const { family } = span
        const inside = [cidr(text).ip.value, span.first, span.last]
        expect(inside.every((value) => spanContains(span, { family, value }))).toBe(true)
        const outside = [span.first - 1n, span.last + 1n]
        expect(outside.some((value) => spanContains(span, { family, value }))).toBe(false)
      }),
      runs,
    )
  })

  it('are read back when written, host bits and all', () => {
    fc.assert(
      fc.property(anyCidr, (text) => {
        expect(parseCidr(text)?.ip).toEqual(ip(text.slice(0, text.indexOf('/'))))
        expect(formatCidr(cidr(text))).toBe(text)
      }),
      runs,
    )
  })
})
