import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, readFileSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { withLock } from '../../ipam/lock.ts'
import { failureOf } from '../shared/failures.ts'
import { temporaryDirectory } from '../shared/temporary.ts'

const program = fileURLToPath(new URL('lock-child.ts', import.meta.url))

let path: string
beforeEach(() => {
  path = `${temporaryDirectory()}/lock`
})

function start(...args: string[]): ChildProcess {
  const child = spawn(process.execPath, ['--no-warnings', program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

/** A process that has the lock. */
async function holder(): Promise<ChildProcess> {
  const child = start('hold', path)
  if (child.stdout === null) throw new Error('the child has no standard output')
  const [said] = await once(child.stdout, 'data')
  expect(String(said)).toBe('held\n')
  return child
}

const held = (waitMs = 20): boolean => {
  try {
    withLock(path, () => undefined, waitMs)
    return false
  } catch {
    return true
  }
}

describe('withLock() between processes', () => {
  it.each([
    ['', 'count', 25],
    [', also when every holder puts a new lock file in place', 'replace', 50],
  ])('lets one in at a time%s', async (_, task, rounds) => {
    const file = `${path}.counter`
    writeFileSync(file, '0')
    const children = Array.from({ length: 8 }, () => start(task, path, file, String(rounds)))
    const exits = await Promise.all(children.map((child) => once(child, 'exit')))
    expect(exits.map(([code]) => code)).toEqual(children.map(() => 0))
    expect(readFileSync(file, 'utf8')).toBe(String(8 * rounds))
  })

  it('keeps others out as long as its holder lives, and lets the next in when it is killed', async () => {
    const child = await holder()
    expect(held()).toBe(true)
    child.kill('SIGKILL')
    expect(withLock(path, () => 'mine', 10_000)).toBe('mine')
  })

  it('keeps others out when its holder is stopped', async () => {
    const child = await holder()
    child.kill('SIGSTOP')
    expect(held(200)).toBe(true)
  })

  it('lets a waiting process in when its holder ends', async () => {
    const file = `${path}.counter`
    writeFileSync(file, '0')
    let waiting: ChildProcess | undefined
    withLock(path, () => {
      waiting = start('count', path, file, '1')
    })
    await once(waiting ?? expect.unreachable('no process was started'), 'exit')
    expect(readFileSync(file, 'utf8')).toBe('1')
  })

  it.each([
    ['was removed', () => unlinkSync(path)],
    [
      'was replaced',
      () => {
        writeFileSync(`${path}.new`, '')
        renameSync(`${path}.new`, path)
      },
    ],
  ])('goes by the file that is there when the one that is locked %s', async (_, replace) => {
    await holder()
    replace()
    withLock(path, () => expect(held()).toBe(true), 1000)
    expect(existsSync(path)).toBe(true)
  })
})

describe('withLock()', () => {
  it('fails with code 11 when the lock is not free within the wait, and not before', () => {
    withLock(path, () => {
      const start = performance.now()
      const failure = failureOf(() => withLock(path, () => 'never', 150))
      expect(performance.now() - start).toBeGreaterThanOrEqual(149)
      expect([failure.errorName, failure.code]).toEqual(['ERR_TRY_AGAIN', 11])
      expect(failure.message).toBe(`Cannot lock "${path}": held by another call for more than 150 ms`)
    })
  })

  it('does not run the work when it has not the lock', () => {
    let ran = false
    withLock(path, () => {
      failureOf(() => withLock(path, () => (ran = true), 5))
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
    const both = withLock(path, () => withLock(`${path}.other`, () => [held(), 'both'], 10), 10)
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
