import { crc32 as crc32OfZlib } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { crc32 } from '../../shared/crc32.ts'

describe('crc32()', () => {
  it('gives the check value of the catalogues when the text is theirs', () => {
    expect(crc32('123456789')).toBe('cbf43926')
    expect(crc32('')).toBe('00000000')
  })

  it('gives what zlib gives when the text is any', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        expect(crc32(text)).toBe(crc32OfZlib(text).toString(16).padStart(8, '0'))
      }),
      { numRuns: 500 },
    )
  })
})
