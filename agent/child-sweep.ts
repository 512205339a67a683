/** One sweep as a process of its own: `berth leases sweep`, as a person would run it. */
import { runOwnProgram } from '../shared/host/child.ts'
import { log } from '../shared/log.ts'
import type { SweepTotals } from './watch.ts'

/** Beside 65 000 leases a sweep takes some seconds; a share of several hosts may take much longer. */
const timeoutMs = 300_000

interface ChildSweep {
  /** What stands before the words of the command: nothing in the packaged program. */
  readonly program: readonly string[]
  readonly dataDir: string
  readonly graceSeconds: number
}

function countIn(answer: object, what: keyof SweepTotals): number {
  const count: unknown = Reflect.get(answer, what)
  if (typeof count !== 'number') throw new Error(`the sweep's answer has no number "${what}"`)
  return count
}

function totalsOf(stdout: string): SweepTotals {
  const answer: unknown = JSON.parse(stdout)
  if (typeof answer !== 'object' || answer === null) throw new Error("the sweep's answer is no object")
  return {
    released: countIn(answer, 'released'),
    waiting: countIn(answer, 'waiting'),
    expired: countIn(answer, 'expired'),
    leftOver: countIn(answer, 'leftOver'),
    damaged: countIn(answer, 'damaged'),
  }
}

/** Rejects when the sweep fails, takes too long, or `signal` is aborted; then its process is gone. */
export async function sweepInChild(
  { program, dataDir, graceSeconds }: ChildSweep,
  signal: AbortSignal,
): Promise<SweepTotals> {
  const options = ['--json', '--totals', '--grace', String(graceSeconds), '--data-dir', dataDir]
  const args = [...program, 'leases', 'sweep', ...options]
  const { stdout, stderr } = await runOwnProgram({ name: 'berth', args, timeoutMs, signal })
  for (const line of stderr.split('\n')) if (line !== '') log('warn', `sweep: ${line}`)
  return totalsOf(stdout)
}
