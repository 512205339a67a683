/**
 * `berth agent`: the resident process of a node. A program text of its own; from the sources, `node agent/main.ts`.
 */
import { parseArgs } from 'node:util'
import { dataDirOf } from '../shared/data-dir.ts'
import { log, setLogLevel } from '../shared/log.ts'
import { messageOf } from '../shared/message.ts'
import { writeAll } from '../shared/write.ts'
import { Agent } from './agent.ts'

const defaultRunDir = '/run/berth'

/** Removals of links wait in threads for the kernel; each takes some tens of milliseconds and no processor. */
const threads = 128

const usage = `Usage: berth agent [options]

Answers the calls of the CNI plugins of this node, which do without when it is not there.

  --run-dir DIR       where its socket is (default ${defaultRunDir})
  --data-dir DIR      where the leases are, and a second socket (default: BERTH_DATA_DIR, or /var/lib/cni/berth)
  --help              this text

SIGTERM and SIGINT end it after the calls that are running. BERTH_LOG is error, warn, info or debug (default info).
`

const options = {
  'run-dir': { type: 'string', default: defaultRunDir },
  'data-dir': { type: 'string' },
  help: { type: 'boolean' },
} as const

/** Runs until it is told to end; returns the exit code: 0 ended as told, 1 failed, 2 a command line that cannot be read. */
export async function main(args: readonly string[]): Promise<number> {
  const { env } = process
  setLogLevel(env.BERTH_LOG ?? 'info')
  let values: ReturnType<typeof parseArgs<{ options: typeof options }>>['values']
  try {
    values = parseArgs({ args: [...args], options }).values
  } catch (error) {
    writeAll(2, `berth agent: ${messageOf(error)}\n\n${usage}`)
    return 2
  }
  if (values.help === true) {
    writeAll(1, usage)
    return 0
  }
  // Read when the first of them starts.
  env.UV_THREADPOOL_SIZE ??= String(threads)
  const told = new Promise<string>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal))
  })
  const agent = new Agent({ runDir: values['run-dir'], dataDir: values['data-dir'] ?? dataDirOf(env) })
  try {
    await agent.start()
    log('info', `${await told}: serving those who are there`)
    await agent.stop()
    return 0
  } catch (error) {
    writeAll(2, `berth agent: ${messageOf(error)}\n`)
    return 1
  }
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)))
