import { expect, test } from 'vitest'
import { monotonicMs } from '../../../shared/clock.ts'
import { runOwnProgram } from '../../../shared/host/child.ts'

const never = new AbortController().signal
const run = (script: string, { timeoutMs = 20_000, signal = never } = {}) =>
  runOwnProgram({ args: ['-e', script], name: 'berth', timeoutMs, signal })

test('runOwnProgram() runs this very program under the name, below everybody who is waited for', async () => {
  const script =
    "console.log([process.argv0, process.version, require('os').getPriority()].join()); console.error('words')"
  expect(await run(script)).toEqual({ stdout: `berth,${process.version},10\n`, stderr: 'words\n' })
})

test.each([
  ['fails', "console.error('why'); process.exit(3)", /"berth -e .*" failed: exit code 3: why$/],
  ['is killed', "process.kill(process.pid, 'SIGTERM')", /failed: killed by SIGTERM$/],
  // Not console.log: what it cannot write at once waits for an end of the loop.
  [
    'says too much',
    "for (;;) require('fs').writeSync(1, 'x'.repeat(1000))",
    /failed: it wrote more than 65536 characters$/,
  ],
])('runOwnProgram() says how a program %s', async (_, script, how) => {
  await expect(run(script)).rejects.toThrow(how)
})

test('runOwnProgram() keeps the first of many words of trouble', async () => {
  const { stdout, stderr } = await run("console.error('x'.repeat(100_000)); console.log('done')")
  expect([stdout, stderr]).toEqual(['done\n', 'x'.repeat(8192)])
})

test('runOwnProgram() ends a program that takes too long', async () => {
  await expect(run('for (;;);', { timeoutMs: 300 })).rejects.toThrow(/it took more than 300 ms$/)
})

test('runOwnProgram() ends a program when it is told to, even before it has begun', async () => {
  const startMs = monotonicMs()
  for (const waitMs of [0, 200]) {
    const signal = waitMs === 0 ? AbortSignal.abort() : AbortSignal.timeout(waitMs)
    await expect(run('for (;;);', { signal })).rejects.toThrow(/it was told to end$/)
  }
  expect(monotonicMs() - startMs).toBeLessThan(10_000)
})
