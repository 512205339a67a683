/**
 * The administrator's door: `berth <noun> <verb>`, a folder a noun, a file a verb. A program text of its own, which the plugins
 * never load; from the sources, `node cli/main.ts leases list`.
 */
import { readFileSync } from 'node:fs'
import { isatty } from 'node:tty'
import { dataDirOf } from '../shared/data-dir.ts'
import { isErrno } from '../shared/disk.ts'
import { endProcess } from '../shared/host/libc.ts'
import { setLogLevel } from '../shared/log.ts'
import { writeAll } from '../shared/write.ts'
import { run } from './run.ts'

/** A line that replaces the one before it at a terminal, or follows it elsewhere. */
function progressTo(terminal: boolean): (line: string, last: boolean) => void {
  return (line, last) => writeAll(2, terminal ? `\r${line}${last ? '\n' : ''}` : `${line}\n`)
}

/** Runs one command, and ends the process or returns the exit code: 0 done, 1 failed, 2 a command line that cannot be read. */
export async function main(args: readonly string[], dataDir: string, version: string): Promise<number> {
  setLogLevel(process.env.BERTH_LOG)
  const terminal = isatty(2)
  const progress = terminal || args.includes('--progress') ? progressTo(terminal) : undefined
  const { stdout, stderr, exitCode } = await run(args, {
    dataDir,
    version,
    readStdin: () => readFileSync(0, 'utf8'),
    progress,
  })
  try {
    writeAll(1, stdout)
    writeAll(2, stderr)
  } catch (error) {
    // Whoever read our output has seen enough.
    if (!isErrno(error, 'EPIPE')) throw error
  }
  endProcess(exitCode)
  return exitCode
}

if (import.meta.main) {
  main(process.argv.slice(2), dataDirOf(process.env), 'from the sources').then((exitCode) => {
    process.exitCode = exitCode
  })
}
