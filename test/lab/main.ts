/**
 * `node test/lab/main.ts [--seconds N] [--] COMMAND ...` runs one command in the lab; without a command, a shell.
 * `node test/lab/main.ts --tests [WORD ...]` runs the lab's tests there, those of the files whose names have one of the words.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runInLab } from './lab.ts'

const root = join(import.meta.dirname, '..', '..')
const vitest = ['node', '--disable-warning=ExperimentalWarning', 'node_modules/.bin/vitest', 'run', '--project', 'lab']

async function run(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { seconds: { type: 'string', default: '2400' }, tests: { type: 'boolean', default: false } },
    allowPositionals: true,
  })
  const timeoutSeconds = Number(values.seconds)
  if (!(timeoutSeconds > 0)) throw new Error(`Cannot limit a run to "${values.seconds}": not a number of seconds`)
  const isInteractive = !values.tests && positionals.length === 0
  const inside = isInteractive ? ['bash', '-i'] : positionals
  const answer = await runInLab({
    command: values.tests ? [...vitest, '--reporter', 'verbose', ...positionals] : inside,
    timeoutSeconds,
    cwd: values.tests ? root : process.cwd(),
    isInteractive,
    env: process.stdout.isTTY ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' },
    onOutput: (text) => process.stdout.write(text),
  })
  if (answer.kept !== undefined) say(`lab: the kernel's messages are in ${answer.kept}/console`)
  const [seconds, boot] = [answer.seconds.toFixed(1), answer.bootSeconds.toFixed(1)]
  say(`lab: exit code ${answer.exitCode} after ${seconds} s, ${boot} s of them the boot`)
  return answer.exitCode
}

const say = (line: string): boolean => process.stderr.write(`${line}\n`)

try {
  process.exitCode = await run()
} catch (error) {
  say(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
