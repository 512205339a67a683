/**
 * The lab: a small VM with what this machine's kernel lacks (a NIC with virtual functions, vfio, 8021q, ipvlan, dummy), which sees the
 * machine's files as they are and keeps every write to itself. One run is one VM: it boots, runs one command, powers off.
 *
 * Nothing of a run outlives it: QEMU is killed at the time limit and with this process, and the VM has neither ports nor a network.
 */
import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { runQemu } from './qemu.ts'

const root = join(import.meta.dirname, '..', '..')
const directory = join(root, 'dist', 'lab')
const runs = join(directory, 'runs')
/** What a run that failed has left is there to be read for so long. */
const keepRunsHours = 24
/** Of the kernel's messages, in an error. */
const lastLines = 30

export interface LabWish {
  /** The program and its arguments, found as on the machine. */
  readonly command: readonly string[]
  /** Of the whole VM, from its start to its end. */
  readonly timeoutSeconds: number
  /** In which the command runs; the working tree's root unless said. */
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** The command has this process's terminal, and its output is not kept. */
  readonly isInteractive?: boolean
  /** Told what the command writes, as it comes. */
  readonly onOutput?: (text: string) => void
}

export interface LabAnswer {
  /** The command's. */
  readonly exitCode: number
  /** Standard output and standard error, in the order of their writing. */
  readonly output: string
  /** Of the whole VM. */
  readonly seconds: number
  /** From the VM's start until the command's. */
  readonly bootSeconds: number
  /** Where the kernel's messages (`console`) are, and all that the command wrote to /run/lab; only after another exit code than 0. */
  readonly kept?: string
}

/** Fetches what is missing, with its words on this process's standard error. Throws when it fails, and that has said why. */
function prepare(): void {
  try {
    execFileSync(join(import.meta.dirname, 'prepare.sh'), [directory], { stdio: ['ignore', 2, 2] })
  } catch (cause) {
    throw new Error('The lab cannot be prepared', { cause })
  }
}

function removeOldRuns(): void {
  const before = Date.now() - keepRunsHours * 3600 * 1000
  for (const name of existsSync(runs) ? readdirSync(runs) : []) {
    const run = join(runs, name)
    if ((statSync(run, { throwIfNoEntry: false })?.mtimeMs ?? before) < before)
      rmSync(run, { recursive: true, force: true })
  }
}

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`

/** What the VM reads at its start and writes until its end, /run/lab in there: a directory of this run alone. */
function exchangeOf({ command, cwd = root, env = {}, isInteractive = false }: LabWish): string {
  mkdirSync(runs, { recursive: true })
  const exchange = mkdtempSync(join(runs, 'run-'))
  copyFileSync(join(import.meta.dirname, 'guest.sh'), join(exchange, 'guest.sh'))
  const settings = [`LAB_DIRECTORY=${quoted(directory)}`, `LAB_INTERACTIVE=${isInteractive ? 1 : 0}`]
  writeFileSync(join(exchange, 'settings'), `${settings.join('\n')}\n`)
  // This process's own Node comes first, as for whoever calls a test on the machine.
  const path = `${dirname(process.execPath)}:${process.env.PATH}`
  const exported = Object.entries({ PATH: path, ...env }).map(([name, value]) => `export ${name}=${quoted(value)}`)
  const lines = [...exported, `cd ${quoted(cwd)} && exec ${command.map(quoted).join(' ')}`]
  writeFileSync(join(exchange, 'command'), `${lines.join('\n')}\n`)
  return exchange
}

const textOf = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8') : '')

/** Why no exit code came back, for whoever reads a test's output. */
function whyGone(ending: string, messages: string, kept: string): Error {
  const panic = /Kernel panic.*/.exec(messages)?.[0]
  const phase = messages.includes('lab: ready') ? 'while the command ran' : 'before the command ran'
  const last = messages.trimEnd().split('\n').slice(-lastLines).join('\n')
  const why = panic ?? (ending === '' ? 'the VM powered off by itself' : ending)
  return new Error(
    `The lab did not come back ${phase}: ${why}. The kernel's last words (all in "${kept}/console"):\n${last}`,
  )
}

/** Boots the VM, runs the command and powers off. Throws when no exit code came back, with the kernel's last words. */
export async function runInLab(wish: LabWish): Promise<LabAnswer> {
  prepare()
  removeOldRuns()
  const exchange = exchangeOf(wish)
  const start = Date.now()
  const { output, ending } = await runQemu({ directory, exchange, ...wish })
  const seconds = (Date.now() - start) / 1000
  const messages = textOf(join(exchange, 'console'))
  const exitFile = textOf(join(exchange, 'exit'))
  if (exitFile === '') throw whyGone(ending, messages, exchange)
  const ready = statSync(join(exchange, 'ready'), { throwIfNoEntry: false })?.mtimeMs ?? start
  const bootSeconds = (ready - start) / 1000
  const answer = { exitCode: Number(exitFile), output, seconds, bootSeconds }
  if (answer.exitCode !== 0) return { ...answer, kept: exchange }
  rmSync(exchange, { recursive: true })
  return answer
}
