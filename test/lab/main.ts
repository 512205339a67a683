/** `node test/lab/main.ts [--seconds N] -- COMMAND ...` runs one command in the lab; without a command, a shell. */
import { parseArgs } from 'node:util'
import { runInLab } from './lab.ts'

const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: '600' } },
  allowPositionals: true,
})
const isInteractive = positionals.length === 0
const answer = await runInLab({
  command: isInteractive ? ['sh', '-i'] : positionals,
  timeoutSeconds: Number(values.seconds),
  cwd: process.cwd(),
  isInteractive,
  onOutput: (text) => process.stdout.write(text),
})
process.stderr.write(
  `${answer.console.trimEnd()}\nlab: exit code ${answer.exitCode} after ${answer.seconds.toFixed(1)} s\n`,
)
process.exitCode = answer.exitCode
