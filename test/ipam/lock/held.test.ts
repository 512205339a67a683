import { statSync, utimesSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { checkHeld } from '../../../ipam/lock/held.ts'
import { holdLock, withLock } from '../../../ipam/lock/index.ts'
import { failureOf } from '../../shared/failures.ts'
import { temporaryDirectory } from '../../shared/temporary.ts'
import { plant, self, steal } from './hosts.ts'

let path: string
beforeEach(() => {
  path = `${temporaryDirectory()}/lock`
  vi.useFakeTimers({ toFake: ['hrtime'] })
})
afterEach(() => void vi.useRealTimers())

const shared = { kind: 'shared' } as const
/** Whether there was a sign of life since the last time this was asked. */
function gaveSign(): boolean {
  const sign = statSync(path).mtimeMs > 1000
  utimesSync(path, 1, 1)
  return sign
}

describe('checkHeld()', () => {
  it('gives a sign of life for a shared lock when the last one is a second old', () => {
    withLock(
      path,
      () => {
        gaveSign()
        checkHeld()
        vi.advanceTimersByTime(999)
        checkHeld()
        expect(gaveSign()).toBe(false)
        vi.advanceTimersByTime(1)
        checkHeld()
        expect(gaveSign()).toBe(true)
        checkHeld()
        expect(gaveSign()).toBe(false)
      },
      shared,
    )
  })

  it('fails with code 11 from when the lock has gone to another host, until it is given up', () => {
    const held = holdLock(path, shared)
    const thief = steal(path)
    vi.advanceTimersByTime(1000)
    const failure = failureOf(checkHeld)
    expect([failure.errorName, failure.code]).toEqual(['ERR_TRY_AGAIN', 11])
    expect(failure.message).toBe(`Cannot keep the lock "${path}": it went to another host`)
    expect(checkHeld).toThrow(failure)
    held[Symbol.dispose]()
    expect(checkHeld).not.toThrow()
    thief.rmdirSync()
  })

  it('has nothing to ask about a lock of kind kernel', () => {
    withLock(path, () => {
      gaveSign()
      vi.advanceTimersByTime(60_000)
      checkHeld()
      expect(gaveSign()).toBe(false)
    })
  })
})

describe('withLock() of kind shared', () => {
  it('gives signs of life for a lock that is held already while it waits for another', () => {
    vi.useRealTimers()
    using _held = holdLock(path, shared)
    gaveSign()
    plant(`${path}.other`, self, 'alive')
    expect(() => withLock(`${path}.other`, () => 'never', { ...shared, waitMs: 1200 })).toThrow(/held by another call/)
    expect(gaveSign()).toBe(true)
  })
})
