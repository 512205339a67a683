import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it, onTestFinished } from 'vitest'
import { ownIdentity, processStartTime } from '../../../shared/host/process.ts'

describe('ownIdentity()', () => {
  it('is this process, and the same every time', () => {
    expect(ownIdentity()).toMatchObject({ pid: process.pid, pidNamespace: expect.stringMatching(/^pid:\[\d+\]$/) })
    expect(ownIdentity().startTime).toBe(processStartTime(process.pid))
    expect(ownIdentity()).toEqual(ownIdentity())
  })
})

describe('processStartTime()', () => {
  it('is undefined when there is no such process', () => expect(processStartTime(2 ** 22 + 1)).toBeUndefined())

  it('reads past a name with spaces and parentheses', () => {
    const [file, startTime] = ['/proc/self/comm', processStartTime(process.pid)]
    const name = readFileSync(file)
    writeFileSync(file, ') Z 0 (')
    try {
      expect(processStartTime(process.pid)).toBe(startTime)
    } finally {
      writeFileSync(file, name)
    }
  })

  it('takes a zombie for dead', async () => {
    // The shell tells its child's number and becomes, before the child ends, a program that never asks for its end.
    const child = spawn('sh', ['-c', 'sleep 0.3 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    if (child.stdout === null) throw new Error('the child has no standard output')
    const pid = Number(String((await once(child.stdout, 'data'))[0]))
    await expect.poll(() => processStartTime(pid)).toBeUndefined()
    expect(() => process.kill(pid, 0)).not.toThrow()
  })
})
