import { describe, expect, it } from 'vitest'
import { CniError, errorTable, renderError, toCniError } from '../../../shared/cni/errors.ts'

describe('errorTable', () => {
  it('gives every error a code of its own, the specification having those below 100', () => {
    const codes = Object.values(errorTable).map(({ code }) => code)
    expect(new Set(codes).size).toBe(codes.length)
    expect(codes.filter((code) => code < 100)).toEqual([1, 4, 5, 6, 7, 11, 50, 51])
  })
})

describe('CniError', () => {
  it('takes its code from the table unless it is given one', () => {
    expect(new CniError('ERR_TAKEN', 'x').code).toBe(101)
    expect(new CniError('ERR_DELEGATE', 'x', { code: 7 }).code).toBe(7)
    expect(new CniError('ERR_DELEGATE', 'x', { code: 0 }).code).toBe(0)
  })

  it('keeps its cause, and has none when none is given', () => {
    const cause = new Error('why')
    expect(new CniError('ERR_IO', 'x', { cause }).cause).toBe(cause)
    expect(new CniError('ERR_IO', 'x')).not.toHaveProperty('cause')
  })
})

describe('toCniError()', () => {
  it('passes an error of ours through', () => {
    const error = new CniError('ERR_TAKEN', 'x')
    expect(toCniError(error)).toBe(error)
  })

  it.each([
    ['an error', new TypeError('x is not a function'), 'x is not a function'],
    ['a text', 'boom', 'boom'],
    ['nothing', undefined, 'undefined'],
  ])('makes a defect of %s and keeps its words', (_, thrown, message) => {
    const error = toCniError(thrown)
    expect([error.errorName, error.code, error.message]).toEqual(['ERR_INTERNAL', 999, message])
    expect(error.cause).toBe(thrown)
  })
})

describe('renderError()', () => {
  it('writes details when there are any', () => {
    const rendered = renderError(new CniError('ERR_CONFIG', 'no', { details: 'because "x"' }), '1.0.0')
    expect(rendered).toBe('{"cniVersion":"1.0.0","code":7,"msg":"no","details":"because \\"x\\""}')
  })

  it('leaves details out when there are none', () => {
    expect(renderError(new CniError('ERR_VERSION', 'no'), '0.4.0')).toBe('{"cniVersion":"0.4.0","code":1,"msg":"no"}')
  })

  it.each([
    ['the newest version', 'no config could be read', undefined, '1.1.0'],
    ['the implied version', 'the config names none', '', '0.1.0'],
    ['that version', 'the config names one we do not speak', '2.0.0', '2.0.0'],
  ])('speaks %s when %s', (_what, _when, version, spoken) => {
    expect(JSON.parse(renderError(new CniError('ERR_IO', 'x'), version))).toEqual({
      cniVersion: spoken,
      code: 5,
      msg: 'x',
    })
  })
})
