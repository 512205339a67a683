import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { instantAt, wallClock } from '../../shared/clock.ts'

const last = Date.parse('9999-12-31T23:59:59.999Z')

describe('instantAt()', () => {
  it('is written as a Date is', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: last }), (timeMs) => {
        expect(instantAt(timeMs).toISOString()).toBe(new Date(timeMs).toISOString())
      }),
    )
  })

  it.each([
    '1970-01-01T00:00:00.000Z',
    '2000-02-29T12:34:56.789Z',
    '2024-12-31T23:59:59.999Z',
    '2100-03-01T00:00:00.000Z',
    '9999-12-31T23:59:59.999Z',
  ])('reads %s back', (text) => {
    const instant = instantAt(Date.parse(text))
    expect([instant.toISOString(), instant.getTime()]).toEqual([text, Date.parse(text)])
  })

  it('is right on every day of four centuries', () => {
    const wrong: string[] = []
    for (let ms = 1; ms < Date.parse('2371-01-01'); ms += 86_400_000) {
      const [text, expected] = [instantAt(ms).toISOString(), new Date(ms).toISOString()]
      if (text !== expected) wrong.push(`${text} for ${expected}`)
    }
    expect(wrong).toEqual([])
  })
})

describe('wallClock()', () => {
  it('says the time that Date says', () => {
    const before = Date.now()
    const atMs = wallClock().getTime()
    expect(atMs >= before && atMs <= Date.now()).toBe(true)
  })
})
