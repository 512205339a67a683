import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { macOfIp, macOfResult } from '../../plugins/mac.ts'
import { parseIp } from '../../shared/address.ts'
import { failureOf } from '../shared/failures.ts'

const resultOf = (...addresses: string[]) => ({
  interfaces: [],
  ips: addresses.map((address) => ({ address })),
  routes: [],
  dns: {},
})

describe('macOfIp()', () => {
  it.each([
    ['10.20.0.30', '0a:58:0a:14:00:1e'],
    ['255.255.255.255', '0a:58:ff:ff:ff:ff'],
    ['fd00::1:2', '0a:59:00:01:00:02'],
  ])('makes that of %s', (text, mac) => {
    const ip = parseIp(text)
    expect(ip && macOfIp(ip)).toBe(mac)
  })

  it('gives no two IPv4 addresses the same', () => {
    const value = fc.bigInt({ min: 0n, max: 0xffffffffn })
    fc.assert(
      fc.property(value, value, (a, b) => {
        const same = macOfIp({ family: 4, value: a }) === macOfIp({ family: 4, value: b })
        expect(same).toBe(a === b)
      }),
    )
  })
})

describe('macOfResult()', () => {
  it('goes by the first IPv4 address when there are both', () => {
    expect(macOfResult(resultOf('fd00::7/64', '10.0.0.7/24', '10.0.0.8/24'))).toBe('0a:58:0a:00:00:07')
  })

  it('refuses when there is no address', () => {
    expect(failureOf(() => macOfResult(resultOf())).message).toBe('Cannot use mac "fromIP": the link has no address')
  })
})
