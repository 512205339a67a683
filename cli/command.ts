/** What a command is: its words, its options, and what it does with them. */
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { type Cidr, parseCidr } from '../shared/address.ts'
import { defaultDataDir } from '../shared/data-dir.ts'
import { messageOf } from '../shared/message.ts'

/** A command line that cannot be read: the message and the command's usage go to standard error, exit code 2. */
export class UsageError extends Error {}

/** What a command may use of the process. */
export interface Context {
  readonly dataDir: string
  readonly version: string
  readonly readStdin: () => string
  /** Writes a line about work that goes on, and whether it is the last; undefined when nobody wants to see it. */
  readonly progress: ((line: string, last: boolean) => void) | undefined
}

export interface Outcome {
  readonly stdout: string
  readonly stderr?: string
  /** 1: done in part, or something is wrong that the output names. */
  readonly exitCode?: 0 | 1
}

interface Option {
  readonly type: 'string' | 'boolean'
  readonly multiple?: boolean
  /** What stands for the value in the usage. */
  readonly value?: string
  readonly about: string
}

export interface Command {
  /** `leases list`. */
  readonly words: string
  /** For the list of all commands. */
  readonly summary: string
  /** For its own usage. */
  readonly about: string
  /** What stands after the words, `<address>`; none when there is nothing. */
  readonly operand?: string
  readonly options: Readonly<Record<string, Option>>
  /** The data directory need not be there yet. */
  readonly makesStore?: true
  /** Paragraphs at the end of the usage. */
  readonly notes?: string
  run(options: Options, operand: string, context: Context): Outcome | Promise<Outcome>
}

/** The options of one command line. */
export class Options {
  readonly #values: Readonly<Record<string, unknown>>

  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values
  }

  text(name: string): string | undefined {
    const value = this.#values[name]
    return typeof value === 'string' ? value : undefined
  }

  required(name: string): string {
    const value = this.text(name)
    if (value === undefined || value === '') throw new UsageError(`--${name} is missing`)
    return value
  }

  texts(name: string): string[] {
    const value = this.#values[name]
    return Array.isArray(value) ? value.map(String) : []
  }

  flag(name: string): boolean {
    return this.#values[name] === true
  }

  subnets(name: string): Cidr[] {
    return this.texts(name).map((text) => {
      const cidr = parseCidr(text)
      if (cidr === undefined) throw new UsageError(`--${name} "${text}" is not a subnet, such as 10.0.0.0/24`)
      return cidr
    })
  }
}

export const jsonOption: Option = { type: 'boolean', about: 'print JSON instead of a table' }
export const networkOption: Option = {
  type: 'string',
  value: 'NAME',
  about: 'the CNI network, the "name" of its config',
}
export const dryRunOption: Option = { type: 'boolean', about: 'say what would be done, and do nothing' }

export const dataDirAbout = `where leases are kept (default ${defaultDataDir}, or BERTH_DATA_DIR)`

const common: Readonly<Record<string, Option>> = {
  'data-dir': {
    type: 'string',
    value: 'DIR',
    about: dataDirAbout,
  },
  help: { type: 'boolean', about: 'this text' },
}

export function usageOf({ words, about, operand, options, notes }: Command): string {
  const rows = Object.entries({ ...options, ...common }).map(([name, { value, about: what, multiple }]) => [
    `--${name}${value === undefined ? '' : ` ${value}`}`,
    `${what}${multiple === true ? '; may be given several times' : ''}`,
  ])
  const width = Math.max(...rows.map(([name = '']) => name.length))
  const lines = rows.map(([name = '', what]) => `  ${name.padEnd(width)}  ${what}`)
  const head = `Usage: berth ${words}${operand === undefined ? '' : ` ${operand}`} [options]\n\n${about}\n`
  return `${head}\nOptions:\n${lines.join('\n')}\n${notes === undefined ? '' : `\n${notes}\n`}`
}

/** Reads what stands after a command's words and runs it. Throws UsageError. */
export async function runCommand(command: Command, args: readonly string[], context: Context): Promise<Outcome> {
  const { values, positionals } = read(command, args)
  const options = new Options(values)
  if (options.flag('help')) return { stdout: usageOf(command) }
  const wanted = command.operand === undefined ? 0 : 1
  if (positionals.length > wanted) throw new UsageError(`unexpected "${positionals[wanted]}"`)
  const dataDir = options.text('data-dir')
  // A mistyped folder must not look like one without leases.
  if (dataDir !== undefined && command.makesStore !== true && !existsSync(dataDir)) {
    throw new Error(`Cannot read "${dataDir}": no such directory`)
  }
  return await command.run(options, positionals[0] ?? '', { ...context, dataDir: dataDir || context.dataDir })
}

function read(command: Command, args: readonly string[]): ReturnType<typeof parseArgs> {
  const options = Object.fromEntries(
    Object.entries({ ...command.options, ...common }).map(([name, { type, multiple = false }]) => [
      name,
      { type, multiple, ...(name === 'help' ? { short: 'h' } : {}) },
    ]),
  )
  try {
    return parseArgs({ args: [...args], allowPositionals: true, strict: true, options })
  } catch (error) {
    throw new UsageError(messageOf(error))
  }
}
