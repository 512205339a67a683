import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { logEnabled, setLogLevel } from '../../shared/log.ts'

const module = fileURLToPath(new URL('../../shared/log.ts', import.meta.url))

/** Runs lines of a program that has `log`, `setLogLevel` and `timed`, in a process of its own. */
function outputOf(program: string): { stdout: string; stderr: string; status: number | null } {
  const source = `const { log, setLogLevel, timed } = await import(${JSON.stringify(module)})\n${program}`
  const run = spawnSync(process.execPath, ['--no-warnings', '--input-type=module', '-e', source], { encoding: 'utf8' })
  return { stdout: run.stdout, stderr: run.stderr, status: run.status }
}

afterEach(() => setLogLevel('warn'))

describe('setLogLevel()', () => {
  it.each([
    ['error', [true, false, false, false]],
    ['warn', [true, true, false, false]],
    ['info', [true, true, true, false]],
    ['debug', [true, true, true, true]],
  ])('lets through at %s what is at least as grave', (level, wanted) => {
    setLogLevel(level)
    expect((['error', 'warn', 'info', 'debug'] as const).map(logEnabled)).toEqual(wanted)
  })

  it.each([undefined, '', 'DEBUG', 'verbose'])('leaves the level as it is when told %j', (name) => {
    setLogLevel('info')
    setLogLevel(name)
    expect([logEnabled('info'), logEnabled('debug')]).toEqual([true, false])
  })
})

describe('log()', () => {
  it('writes one line to standard error and nothing to standard output', () => {
    expect(outputOf(`log('warn', 'one'); log('info', 'two')`)).toEqual({
      stdout: '',
      stderr: 'berth: warn: one\n',
      status: 0,
    })
  })

  it('keeps a hostile message on one line', () => {
    const { stderr } = outputOf(`log('error', 'a\\nberth: error: forged\\r\\u001b[2Jb')`)
    expect(stderr).toBe('berth: error: a berth: error: forged  [2Jb\n')
  })

  it('cuts a message that would flood the log', () => {
    const { stderr } = outputOf(`log('error', 'x'.repeat(100_000))`)
    expect(stderr).toBe(`berth: error: ${'x'.repeat(2000)}\n`)
  })

  it('does not fail when standard error is closed', () => {
    const { stdout, status } = outputOf(`
      const { closeSync } = await import('node:fs')
      closeSync(2)
      log('error', 'unheard')
      console.log('alive')`)
    expect({ stdout, status }).toEqual({ stdout: 'alive\n', status: 0 })
  })
})

describe('timed()', () => {
  it('answers what the work answers, and says at debug how long it took', () => {
    const { stdout, stderr } = outputOf(`setLogLevel('debug'); console.log(await timed('claim', async () => 7))`)
    expect(stdout).toBe('7\n')
    expect(stderr).toMatch(/^berth: debug: step claim: \d+\.\d{3} ms\n$/)
  })

  it('passes on what the work throws', () => {
    const { stdout } = outputOf(
      `await timed('x', () => { throw new Error('no') }).catch((e) => console.log(e.message))`,
    )
    expect(stdout).toBe('no\n')
  })
})
