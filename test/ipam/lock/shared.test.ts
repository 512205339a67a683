import {
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { type LockOptions, withLock } from '../../../ipam/lock/index.ts'
import { SharedLock, type SharedLockOptions } from '../../../ipam/lock/shared.ts'
import { sleep } from '../../../ipam/lock/wait.ts'
import { failureOf } from '../../shared/failures.ts'
import { temporaryDirectory } from '../../shared/temporary.ts'
import { anotherHost, holderOf, noPid, plant, self } from './hosts.ts'

let path: string
let directory: string
beforeEach(() => {
  directory = temporaryDirectory()
  path = `${directory}/lock`
})

const names = (): string[] => readdirSync(directory).sort()
const lock = <T>(work: () => T, options: LockOptions = {}): T => withLock(path, work, { kind: 'shared', ...options })
/** Whether the lock is free, or becomes so within a time that is far below the silence that is waited for. */
const isFree = (options: LockOptions = {}): boolean => {
  try {
    lock(() => undefined, { waitMs: 60, ...options })
    return true
  } catch {
    return false
  }
}

/** How long it takes to get the lock, in milliseconds. */
function waitFor(options: LockOptions): number {
  const start = performance.now()
  lock(() => undefined, options)
  return performance.now() - start
}

/** A lock that was just taken. */
function taken(options: SharedLockOptions): SharedLock {
  const made = new SharedLock(path, options)
  made.mkdirSync()
  return made
}

/** What proper-lockfile finds: whether the lock may be cleared away. */
function isStale(waiter: SharedLock): boolean {
  expect(() => waiter.mkdirSync()).toThrow(/EEXIST/)
  return waiter.statSync().mtime.getTime() === 0
}

const dead = { ...self, pid: noPid }

describe('withLock() of kind shared', () => {
  it('says in the file who holds it, and leaves nothing', () => {
    const [content, mode, during] = lock(() => [readFileSync(path, 'utf8'), statSync(path).mode & 0o777, names()])
    expect(JSON.parse(String(content))).toMatchObject({ ...self, nonce: expect.stringMatching(/^[\w-]{16}$/) })
    expect([mode, during, names()]).toEqual([0o600, ['lock'], []])
  })

  it('fails with code 11 and names the holder when the lock is not free within the wait, and not before', () => {
    plant(path, self, 'alive')
    const start = performance.now()
    const failure = failureOf(() => lock(() => 'never', { waitMs: 150, silentMaxMs: 1 }))
    expect(performance.now() - start).toBeGreaterThanOrEqual(149)
    expect([failure.errorName, failure.code]).toEqual(['ERR_TRY_AGAIN', 11])
    expect(failure.message).toBe(
      `Cannot lock "${path}": held by another call for more than 150 ms ` +
        `(process ${self.pid} of host "${self.host}", since 2026-01-02T03:04:05.678Z)`,
    )
    expect(names()).toEqual(['lock'])
  })

  it('frees the lock when the work throws, and does not run it without the lock', () => {
    const failure = new Error('no')
    const throwing = (): never => {
      throw failure
    }
    expect(() => lock(throwing)).toThrow(failure)
    let ran = false
    lock(() => failureOf(() => lock(() => (ran = true), { waitMs: 5 })))
    expect([ran, isFree()]).toEqual([false, true])
  })

  it('refuses a symlink and makes nothing where it leads', () => {
    symlinkSync(`${path}.elsewhere`, path)
    expect(() => lock(() => 'never')).toThrow(/ELOOP/)
    expect(existsSync(`${path}.elsewhere`)).toBe(false)
  })

  it('fails at once when the directory is missing', () => {
    expect(() => withLock(`${path}/absent/lock`, () => 'never', { kind: 'shared' })).toThrow(/ENOENT|ENOTDIR/)
  })
})

describe('withLock() of kind shared after its holder', () => {
  it.each([
    ['died', dead],
    ['died, and its number is another process’s by now', { ...self, startTime: '1' }],
    ['was on this host before it was started anew', { ...self, bootId: anotherHost.bootId, pid: self.pid }],
  ])('goes on at once when the holder %s', (_, holder) => {
    plant(path, holder, 'dead')
    expect(isFree()).toBe(true)
    expect(names()).toEqual([])
  })

  it.each([
    ['is on another host', anotherHost],
    ['is on another host of the same name', { ...anotherHost, host: self.host }],
    ['has the same machine id and another name', { ...anotherHost, machine: self.machine }],
    ['is in a container of this host', { ...dead, pidNamespace: anotherHost.pidNamespace }],
    ['is of this host’s name, neither having a machine id', { ...anotherHost, host: self.host, machine: '' }, ''],
  ])('waits for its silence when the holder %s', (_, holder, machine = self.machine) => {
    plant(path, holder, 'silent')
    const we = { ...self, machine }
    expect(isFree({ self: we })).toBe(false)
    const took = waitFor({ self: we, silentMaxMs: 150 })
    expect(took).toBeGreaterThanOrEqual(149)
    expect(names()).toEqual([])
  })

  it.each([
    ['is empty', ''],
    ['is no JSON', 'lock'],
    ['is no object', '7'],
    ['lacks a member', JSON.stringify({ ...holderOf(self, 'a'), startTime: undefined })],
    ['has a number that is none', JSON.stringify({ ...holderOf(self, 'a'), pid: -1 })],
    ['has a nonce that leads elsewhere', JSON.stringify({ ...holderOf(self, 'a'), nonce: '../../../../tmp/a' })],
  ])('waits for the silence of a file that %s', (_, content) => {
    writeFileSync(path, content)
    expect(isFree()).toBe(false)
    expect(waitFor({ silentMaxMs: 100 })).toBeGreaterThanOrEqual(99)
    expect(names()).toEqual([])
  })
})

describe('SharedLock', () => {
  it.each([-1e9, 0, 1e9])('goes by its own clock when that of the other host is %d s off', (offsetS) => {
    plant(path, anotherHost, 'far')
    const time = Date.now() / 1000 + offsetS
    utimesSync(path, time, time)
    const waiter = new SharedLock(path, { silentMaxMs: 50 })
    expect(isStale(waiter)).toBe(false)
    sleep(30)
    expect(isStale(waiter)).toBe(false)
    sleep(30)
    expect(isStale(waiter)).toBe(true)
  })

  it('starts to wait anew when the holder gives a sign of life', () => {
    const holder = taken({ self: anotherHost })
    const waiter = new SharedLock(path, { silentMaxMs: 50 })
    expect(isStale(waiter)).toBe(false)
    sleep(60)
    expect(holder.refresh()).toBe(true)
    expect(isStale(waiter)).toBe(false)
    sleep(60)
    expect(isStale(waiter)).toBe(true)
  })

  it('starts to wait anew when another holder comes', () => {
    plant(path, anotherHost, 'first')
    const waiter = new SharedLock(path, { silentMaxMs: 50 })
    expect(isStale(waiter)).toBe(false)
    sleep(60)
    plant(path, anotherHost, 'second')
    expect(isStale(waiter)).toBe(false)
  })

  it('removes nothing on release, and gives no sign of life, when the lock is no longer its own', () => {
    const holder = taken({ self: anotherHost })
    const thief = new SharedLock(path, { silentMaxMs: 0 })
    expect([isStale(thief), isStale(thief)]).toEqual([false, true])
    thief.rmdirSync()
    thief.mkdirSync()
    const ours = [readFileSync(path, 'utf8'), statSync(path).mtimeMs]
    expect(holder.refresh()).toBe(false)
    holder.rmdirSync()
    expect([readFileSync(path, 'utf8'), statSync(path).mtimeMs]).toEqual(ours)
    thief.rmdirSync()
    expect(names()).toEqual([])
  })

  it('removes nothing when the lock has a new holder since it looked stale', () => {
    plant(path, dead, 'old')
    const waiter = new SharedLock(path)
    expect(isStale(waiter)).toBe(true)
    plant(path, self, 'new')
    waiter.rmdirSync()
    expect(readFileSync(path, 'utf8')).toContain('"new-')
    expect(names()).toEqual(['lock'])
  })

  it('calls the lock gone when it went between the try and the look', () => {
    plant(path, self, 'short')
    const waiter = new SharedLock(path)
    expect(() => waiter.mkdirSync()).toThrow(/EEXIST/)
    unlinkSync(path)
    expect(() => waiter.statSync()).toThrow(/ENOENT/)
    waiter.mkdirSync()
    expect(names()).toEqual(['lock'])
  })
})
