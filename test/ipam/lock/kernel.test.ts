import { existsSync, lstatSync, readdirSync, symlinkSync, unlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { holdLock, withLock } from '../../../ipam/lock/index.ts'
import { failureOf } from '../../shared/failures.ts'
import { temporaryDirectory } from '../../shared/temporary.ts'

let path: string
beforeEach(() => {
  path = `${temporaryDirectory()}/lock`
})

const held = (waitMs = 20): boolean => {
  try {
    withLock(path, () => undefined, { waitMs })
    return false
  } catch {
    return true
  }
}

describe('withLock() of kind kernel', () => {
  it('fails with code 11 when the lock is not free within the wait, and not before', () => {
    withLock(path, () => {
      const start = performance.now()
      const failure = failureOf(() => withLock(path, () => 'never', { waitMs: 150 }))
      expect(performance.now() - start).toBeGreaterThanOrEqual(149)
      expect([failure.errorName, failure.code]).toEqual(['ERR_TRY_AGAIN', 11])
      expect(failure.message).toBe(`Cannot lock "${path}": held by another call for more than 150 ms`)
    })
  })

  it('does not run the work when it has not the lock', () => {
    let ran = false
    withLock(path, () => {
      failureOf(() => withLock(path, () => (ran = true), { waitMs: 5 }))
    })
    expect(ran).toBe(false)
  })

  it('frees the lock when the work is done or throws, and leaves the file for the next', () => {
    const failure = new Error('no')
    expect(withLock(path, () => 7)).toBe(7)
    const throwing = () =>
      withLock(path, () => {
        throw failure
      })
    expect(throwing).toThrow(failure)
    expect(held()).toBe(false)
    expect(lstatSync(path).mode & 0o777).toBe(0o600)
  })

  it('holds several locks at a time', () => {
    const both = withLock(path, () => withLock(`${path}.other`, () => [held(), 'both']))
    expect(both).toEqual([true, 'both'])
    expect(held()).toBe(false)
  })

  it('refuses a symlink and makes nothing where it leads', () => {
    symlinkSync(`${path}.elsewhere`, path)
    expect(() => withLock(path, () => 'never')).toThrow(/ELOOP/)
    expect(existsSync(`${path}.elsewhere`)).toBe(false)
  })

  it('fails at once when the directory is missing', () => {
    expect(() => withLock(`${path}/absent/lock`, () => 'never')).toThrow(/ENOENT|ENOTDIR/)
  })
})

describe('holdLock() of kind kernel', () => {
  it('keeps others out until it is disposed of, with a byte of a file', () => {
    const hold = holdLock(path)
    const failure = failureOf(() => holdLock(path, { waitMs: 20 }))
    expect(failure.errorName).toBe('ERR_TRY_AGAIN')
    expect(failure.message).toBe(`Cannot lock "${path}": another call of this attachment runs for more than 20 ms`)
    hold[Symbol.dispose]()
    expect(readdirSync(dirname(path))).toEqual(['.locks'])
    holdLock(path, { waitMs: 20, kind: 'kernel' })[Symbol.dispose]()
  })

  it('keeps nobody out who holds another name', () => {
    const names = Array.from({ length: 200 }, (_, index) => `${path}-${index}`)
    for (const one of names.map((name) => holdLock(name, { waitMs: 0 }))) one[Symbol.dispose]()
  })

  it('stands on the file that the others see when somebody removed the one before', () => {
    using _lost = holdLock(path)
    unlinkSync(join(dirname(path), '.locks'))
    using _held = holdLock(path, { waitMs: 0 })
    expect(failureOf(() => holdLock(path, { waitMs: 0 })).errorName).toBe('ERR_TRY_AGAIN')
  })
})
