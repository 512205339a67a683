import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { holdLock, type LockKind, withLock } from '../../../ipam/lock/index.ts'
import { temporaryDirectory } from '../../shared/temporary.ts'

const program = fileURLToPath(new URL('child.ts', import.meta.url))

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
async function holder(kind: LockKind, ...task: string[]): Promise<ChildProcess> {
  const child = start(task[0] ?? 'hold', kind, path, ...task.slice(1))
  if (child.stdout === null) throw new Error('the child has no standard output')
  const [said] = await once(child.stdout, 'data')
  expect(String(said)).toBe('held\n')
  return child
}

const held = (kind: LockKind, waitMs = 20): boolean => {
  try {
    withLock(path, () => undefined, { kind, waitMs })
    return false
  } catch {
    return true
  }
}

async function countTogether(task: string, kind: LockKind, rounds: number): Promise<void> {
  const file = `${path}.counter`
  writeFileSync(file, '0')
  const children = Array.from({ length: 8 }, () => start(task, kind, path, file, String(rounds)))
  const exits = await Promise.all(children.map((child) => once(child, 'exit')))
  expect(exits.map(([code]) => code)).toEqual(children.map(() => 0))
  expect(readFileSync(file, 'utf8')).toBe(String(8 * rounds))
}

describe.each(['kernel', 'shared'] as const)('withLock() of kind %s between processes', (kind) => {
  it('lets one in at a time', () => countTogether('count', kind, 25))

  it('keeps others out as long as its holder lives, and lets the next in when it is killed', async () => {
    const child = await holder(kind)
    expect(held(kind)).toBe(true)
    const exit = once(child, 'exit')
    child.kill('SIGKILL')
    // Not reaped before this thread has time for it: a zombie holds nothing.
    expect(withLock(path, () => 'mine', { kind, waitMs: 1900 })).toBe('mine')
    await exit
  })

  it('keeps others out when its holder is stopped', async () => {
    const child = await holder(kind)
    child.kill('SIGSTOP')
    expect(held(kind, 200)).toBe(true)
    const fail = (): unknown => withLock(path, () => 'never', { kind, waitMs: 200, silentMaxMs: 50 })
    expect(fail).toThrow(/held by another call/)
  })

  it('lets a waiting process in when its holder ends', async () => {
    const file = `${path}.counter`
    writeFileSync(file, '0')
    let waiting: ChildProcess | undefined
    const work = (): void => {
      waiting = start('count', kind, path, file, '1')
    }
    withLock(path, work, { kind })
    await once(waiting ?? expect.unreachable('no process was started'), 'exit')
    expect(readFileSync(file, 'utf8')).toBe('1')
  })
})

describe('withLock() of kind kernel between processes', () => {
  it('lets one in at a time, also when every holder puts a new lock file in place', () =>
    countTogether('replace', 'kernel', 50))

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
    await holder('kernel')
    replace()
    withLock(path, () => expect(held('kernel')).toBe(true), { waitMs: 1000 })
    expect(existsSync(path)).toBe(true)
  })
})

describe('withLock() of kind shared between hosts', () => {
  it('goes to another host when its holder is stopped for too long, whose release then removes nothing', async () => {
    const child = await holder('shared', 'elsewhere', '300')
    child.kill('SIGSTOP')
    const lost = holdLock(path, { kind: 'shared', waitMs: 5000, silentMaxMs: 100 })
    const ours = readFileSync(path, 'utf8')
    child.kill('SIGCONT')
    expect(await once(child, 'exit')).toEqual([0, null])
    expect(readFileSync(path, 'utf8')).toBe(ours)
    lost[Symbol.dispose]()
    expect(readdirSync(dirname(path))).toEqual([])
  })

  it.each([
    ['works without a pause', 'works'],
    ['waits for something else', 'waits'],
  ])('stays with its holder, who is not seen from here and %s for longer than the silence', async (_, task) => {
    const holdMs = 4000
    const start = performance.now()
    const child = await holder('shared', task, String(holdMs))
    withLock(path, () => undefined, { kind: 'shared', silentMaxMs: 2000 })
    expect(performance.now() - start).toBeGreaterThanOrEqual(holdMs)
    expect(await once(child, 'exit')).toEqual([0, null])
    expect(readdirSync(dirname(path))).toEqual([])
  })

  it('does not keep its holder running', async () => {
    const start = performance.now()
    const child = await holder('shared', 'leaves')
    if (child.exitCode === null) await once(child, 'exit')
    expect([child.exitCode, performance.now() - start < 5000]).toEqual([0, true])
  })
})
