import { describe, expect, it } from 'vitest'
import { randomLinkIndex, randomMac, randomNonce } from '../../../shared/host/random.ts'

const many = 2000

describe('randomMac()', () => {
  it('gives unicast addresses of no manufacturer, each another', () => {
    const macs = Array.from({ length: many }, randomMac)
    expect(macs.every((mac) => /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac))).toBe(true)
    expect(macs.every((mac) => (Number.parseInt(mac.slice(0, 2), 16) & 3) === 2)).toBe(true)
    expect(new Set(macs).size).toBe(many)
  })
})

describe('randomLinkIndex()', () => {
  it('gives indexes far above those of the kernel and below its limit, hardly one twice', () => {
    const indexes = Array.from({ length: many }, randomLinkIndex)
    expect(Math.min(...indexes)).toBeGreaterThanOrEqual(1 << 20)
    expect(Math.max(...indexes)).toBeLessThan(2 ** 31)
    expect(new Set(indexes).size).toBeGreaterThan(many - 20)
  })
})

describe('randomNonce()', () => {
  it('gives short texts that are fit for a file’s name, each another', () => {
    const nonces = Array.from({ length: many }, randomNonce)
    expect(nonces.every((nonce) => /^[\w-]{16}$/.test(nonce))).toBe(true)
    expect(new Set(nonces).size).toBe(many)
  })
})
