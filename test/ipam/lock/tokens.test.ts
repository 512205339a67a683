/** What protects the removal of a dead hold, and what killed calls leave. */
import { readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { checkHeld } from '../../../ipam/lock/held.ts'
import { holdLock, type LockOptions, withLock } from '../../../ipam/lock/index.ts'
import { temporaryDirectory } from '../../shared/temporary.ts'
import { anotherHost, noPid, plant, self, steal } from './hosts.ts'

let path: string
let directory: string
beforeEach(() => {
  directory = temporaryDirectory()
  path = `${directory}/lock`
})
afterEach(() => void vi.useRealTimers())

const names = (): string[] => readdirSync(directory).sort()
const dead = { ...self, pid: noPid }

/** How long it takes to get the lock in milliseconds; undefined when it cannot be had in a short while. */
function waitFor(options: LockOptions = {}): number | undefined {
  const start = performance.now()
  try {
    withLock(path, () => undefined, { kind: 'shared', waitMs: 80, ...options })
    return performance.now() - start
  } catch {
    return undefined
  }
}

const plantToken = (of: string, maker: typeof self, nonce: string): string => {
  const token = `.dead,${of.padEnd(16, '-')}`
  plant(`${directory}/${token}`, maker, nonce)
  return token
}

describe('withLock() of kind shared beside another who clears the same dead hold', () => {
  beforeEach(() => void plant(path, dead, 'dead'))

  it('leaves that to the other when the other lives', () => {
    const token = plantToken('dead', self, 'living')
    expect(waitFor({ silentMaxMs: 1 })).toBeUndefined()
    expect(names()).toEqual([token, 'lock'])
  })

  it('does it itself at once when the other died too, and whoever cleared after that one', () => {
    plantToken('dead', dead, 'thief')
    plantToken('thief', dead, 'another')
    expect(waitFor()).toBeDefined()
    expect(names()).toEqual([])
  })

  it('does it itself when the other is on a host that has fallen silent', () => {
    const token = plantToken('dead', anotherHost, 'far')
    expect(waitFor()).toBeUndefined()
    expect(names()).toEqual([token, 'lock'])
    expect(waitFor({ silentMaxMs: 100, waitMs: 5000 })).toBeGreaterThanOrEqual(99)
    expect(names()).toEqual([])
  })
})

describe('withLock() of kind shared after a death', () => {
  const agesAgo = (name: string, hours: number): void => {
    const time = Date.now() / 1000 - hours * 3600
    utimesSync(`${directory}/${name}`, time, time)
  }

  it('removes what killed calls left, and nothing of the living', () => {
    plant(path, dead, 'dead')
    plant(`${directory}/.new,a`, dead, 'a')
    plantToken('b', dead, 'c')
    plant(`${directory}/.new,old`, anotherHost, 'old')
    agesAgo('.new,old', 2)
    writeFileSync(`${directory}/.new,torn`, '{"host":')
    agesAgo('.new,torn', 2)
    plantToken('old', anotherHost, 'older')
    agesAgo('.dead,old-------------', 2)
    plant(`${directory}/.new,here`, self, 'here')
    agesAgo('.new,here', 2)
    plant(`${directory}/.new,there`, anotherHost, 'there')
    writeFileSync(`${directory}/.new,being-written`, '')
    const kept = plantToken('d', anotherHost, 'e')
    writeFileSync(`${directory}/other`, '')
    expect(waitFor()).toBeDefined()
    expect(names()).toEqual([kept, '.new,being-written', '.new,here', '.new,there', 'other'].sort())
  })

  it('does not look for leftovers while nobody dies', () => {
    plant(`${directory}/.new,a`, dead, 'a')
    expect(waitFor()).toBeDefined()
    expect(names()).toEqual(['.new,a'])
  })
})

describe('holdLock() of kind shared', () => {
  const hold = (options: LockOptions = {}): Disposable => holdLock(path, { kind: 'shared', ...options })
  const content = (): string => readFileSync(path, 'utf8')

  it('keeps others out until it is disposed of, with a file that is there only meanwhile', () => {
    const held = hold()
    expect(names()).toEqual(['lock'])
    expect(() => hold({ waitMs: 20 })).toThrow(
      `another call of this attachment runs for more than 20 ms (process ${self.pid} of host "${self.host}", since `,
    )
    held[Symbol.dispose]()
    expect(names()).toEqual([])
    hold({ waitMs: 20 })[Symbol.dispose]()
  })

  it('has a name for the file of every attachment, also of the longest', () => {
    path = `${directory}/${'n'.repeat(245)}`
    plant(path, dead, 'dead')
    hold()[Symbol.dispose]()
    expect(names()).toEqual([])
  })

  it('gives signs of life from a timer when the thread has time for it', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
    const held = hold()
    utimesSync(path, 1, 1)
    await vi.advanceTimersByTimeAsync(6000)
    expect(statSync(path).mtimeMs).toBeGreaterThan(1_000_000)
    held[Symbol.dispose]()
    expect(names()).toEqual([])
  })

  it('finds out from the timer that it lost the lock, and removes nothing', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'hrtime'] })
    const held = hold()
    const thief = steal(path)
    const theirs = content()
    await vi.advanceTimersByTimeAsync(6000)
    expect(checkHeld).toThrow('it went to another host')
    held[Symbol.dispose]()
    expect(content()).toBe(theirs)
    thief.rmdirSync()
    expect(names()).toEqual([])
  })
})
