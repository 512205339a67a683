/** Finds the command of a command line and runs it. */
import { CniError } from '../shared/cni/errors.ts'
import { messageOf } from '../shared/message.ts'
import { type Command, type Context, dataDirAbout, type Outcome, runCommand, UsageError, usageOf } from './command.ts'
import { hostLocal } from './import/host-local.ts'
import { whereabouts } from './import/whereabouts.ts'
import { check } from './leases/check.ts'
import { list } from './leases/list.ts'
import { release } from './leases/release.ts'
import { show } from './leases/show.ts'
import { sweep } from './leases/sweep.ts'
import { printable } from './table.ts'
import { vfList } from './vf/list.ts'
import { vfRelease } from './vf/release.ts'

const version: Command = {
  words: 'version',
  summary: 'the version of this program',
  about: 'Shows the version of this program.',
  options: {},
  run: (_options, _operand, context) => ({ stdout: `${context.version}\n` }),
}

const commands = [list, show, release, check, sweep, vfList, vfRelease, hostLocal, whereabouts, version]

const usage = `Usage: berth <command> [options]

Commands:
${commands.map(({ words, summary }) => `  ${words.padEnd(18)}  ${summary}`).join('\n')}

"berth <command> --help" tells its options. For all:
  --data-dir DIR      ${dataDirAbout}
  --help              this text

Exit code: 0 done, 1 failed or something is wrong, 2 the command line cannot be read.

"berth agent" is the resident process of a node, "berth install" puts the plugins on one; "--help" tells their options.
The CNI plugins are the same program under other names: berth-macvlan, berth-ipvlan, berth-sriov, berth-ipam.
`

/** The command that the arguments begin with, and the rest of them. */
function find(args: readonly string[]): { command: Command; rest: string[] } | undefined {
  const command = commands.find(({ words }) => words.split(' ').every((word, index) => args[index] === word))
  return command && { command, rest: args.slice(command.words.split(' ').length) }
}

async function runFound(args: readonly string[], context: Context): Promise<Outcome> {
  const found = find(args)
  if (found !== undefined) return await runCommand(found.command, found.rest, context)
  if (args[0] === 'help' || args.includes('--help') || args.includes('-h')) return { stdout: usage }
  const words = args.filter((arg) => !arg.startsWith('-')).slice(0, 2)
  throw new UsageError(words.length === 0 ? 'no command given' : `unknown command "${words.join(' ')}"`)
}

/** What went wrong, with what an error of the IPAM knows besides. */
function explain(error: unknown): string {
  if (error instanceof CniError && error.details !== '') return `${error.message} (${error.details})`
  return messageOf(error)
}

export interface Answer {
  readonly stdout: string
  readonly stderr: string
  /** 0 done, 1 failed or something is wrong, 2 a command line that cannot be read. */
  readonly exitCode: 0 | 1 | 2
}

/** Runs one command line. Whatever goes wrong is in the answer. */
export async function run(args: readonly string[], context: Context): Promise<Answer> {
  try {
    return { stderr: '', exitCode: 0, ...(await runFound(args, context)) }
  } catch (error) {
    const message = `berth: ${printable(explain(error))}\n`
    if (!(error instanceof UsageError)) return { stdout: '', stderr: message, exitCode: 1 }
    const command = find(args)?.command
    return { stdout: '', stderr: `${message}\n${command === undefined ? usage : usageOf(command)}`, exitCode: 2 }
  }
}
