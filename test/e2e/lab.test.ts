/** The lab fails aloud, and leaves nothing running. What it can do is tested within it (test/lab/*.lab.ts). */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { runInLab } from '../lab/lab.ts'

/** Another process's children, by the kernel. */
const childrenOf = (pid: number | undefined): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)

function nameOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return / Z /.test(stat) ? 'dead' : (/\((.*)\)/.exec(stat)?.[1] ?? '')
  } catch {
    return 'dead'
  }
}

test('runInLab() brings back the exit code and the output of its command, byte for byte', async () => {
  const command = ['sh', '-c', 'printf "%s\\n\\t" "$1"; exit 7', 'sh', "it's $HOME"]
  const answer = await runInLab({ command, timeoutSeconds: 100 })
  expect(answer).toMatchObject({ exitCode: 7, output: "it's $HOME\n\t" })
  expect(readFileSync(join(answer.kept ?? '', 'console'), 'utf8')).toContain('lab: done')
})

test('runInLab() says that the kernel has panicked when it has', async () => {
  const command = ['sh', '-c', 'echo here; sleep 1; echo c >/proc/sysrq-trigger; sleep 100']
  await expect(runInLab({ command, timeoutSeconds: 100 })).rejects.toThrow(
    /^The lab did not come back while the command ran: Kernel panic - not syncing: sysrq .*\/console"\)/,
  )
})

test('runInLab() says that the time is up when it is', async () => {
  await expect(runInLab({ command: ['sleep', '100'], timeoutSeconds: 1 })).rejects.toThrow(
    'The lab did not come back before the command ran: it took more than 1 s.',
  )
})

test('QEMU dies with the process that started it', async () => {
  const main = join(import.meta.dirname, '..', 'lab', 'main.ts')
  const runner = spawn(process.execPath, [main, '--seconds', '100', '--', 'sleep', '100'], { stdio: 'ignore' })
  const isQemu = (pid: number): boolean => nameOf(pid).startsWith('qemu')
  const qemu = await vi.waitFor(
    () => {
      const pid = childrenOf(runner.pid).find(isQemu)
      if (pid === undefined) throw new Error('no QEMU yet')
      return pid
    },
    { timeout: 60_000 },
  )
  runner.kill('SIGKILL')
  await vi.waitFor(() => expect(isQemu(qemu)).toBe(false), { timeout: 5000 })
})
