/**
 * `berth agent`: the resident process of a node. A program text of its own; from the sources, `node agent/main.ts`.
 */
import { dirname, join } from 'node:path'
import { isSea } from 'node:sea'
import { dataDirOf } from '../shared/data-dir.ts'
import { endProcess } from '../shared/host/libc.ts'
import { serviceAccountOf } from '../shared/kubeconfig.ts'
import { log, setLogLevel } from '../shared/log.ts'
import { messageOf } from '../shared/message.ts'
import { writeAll } from '../shared/write.ts'
import { Agent } from './agent.ts'
import { sweepInChild } from './child-sweep.ts'
import { KubeconfigKeeper } from './kubeconfig.ts'
import type { Monitor } from './monitor.ts'
import { type AgentWish, readCommandLine, usage } from './options.ts'
import { Sweeper } from './sweeper.ts'
import { unwatched, type Watch } from './watch.ts'

/** Removals of links wait in threads for the kernel; each takes some tens of milliseconds and no processor. */
const threads = 128

/** Runs until it is told to end; returns the exit code: 0 ended as told, 1 failed, 2 a command line that cannot be read. */
export async function main(args: readonly string[]): Promise<number> {
  const { env } = process
  setLogLevel(env.BERTH_LOG ?? 'info')
  let wish: AgentWish | undefined
  try {
    wish = readCommandLine(args, dataDirOf(env))
  } catch (error) {
    writeAll(2, `berth agent: ${messageOf(error)}\n\n${usage}`)
    return 2
  }
  if (wish === undefined) {
    writeAll(1, usage)
    return 0
  }
  // Read when the first of them starts.
  env.UV_THREADPOOL_SIZE ??= String(threads)
  const told = new Promise<string>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal))
  })
  const exitCode = await run(wish, told).then(
    () => 0,
    (error: unknown) => {
      writeAll(2, `berth agent: ${messageOf(error)}\n`)
      return 1
    },
  )
  // A thread may wait for the kernel still, and process.exit would wait for the thread.
  endProcess(exitCode)
  return exitCode
}

async function run(wish: AgentWish, told: Promise<string>): Promise<void> {
  const { runDir, dataDir, warm, calls, metricsAddress, sweep } = wish
  // Only whoever asks for it pays for it.
  const monitor: Monitor | undefined =
    metricsAddress && new (await import('./monitor.ts')).Monitor(dataDir, () => agent.facts)
  const watch = monitor?.watch ?? unwatched
  const agent = new Agent({ runDir, dataDir, warm, calls, watch })
  try {
    // Before anything else: it says that the agent is not ready yet.
    if (metricsAddress !== undefined) await monitor?.open(metricsAddress)
    await agent.start()
    using _kubeconfig = keepKubeconfig(wish.kubeconfig)
    const sweeper = sweep && newSweeper(sweep, dataDir, watch)
    sweeper?.start()
    log('info', `${await told}: serving those who are there`)
    await Promise.all([sweeper?.stop(), agent.stop()])
  } finally {
    monitor?.close()
  }
}

function keepKubeconfig(path: string | undefined): Disposable | undefined {
  const account = serviceAccountOf(process.env)
  if (path === undefined) return undefined
  if (account === undefined) {
    log('warn', `cannot write "${path}": KUBERNETES_SERVICE_HOST is not set`)
    return undefined
  }
  const keeper = new KubeconfigKeeper(path, account)
  keeper.start()
  return keeper
}

function newSweeper(sweep: NonNullable<AgentWish['sweep']>, dataDir: string, watch: Watch): Sweeper {
  // From the sources the program is node, and the command its script.
  const [, script = ''] = process.argv
  const program = isSea() ? [] : [...process.execArgv, join(dirname(script), '..', 'cli', 'main.ts')]
  const { everySeconds, graceSeconds, netnsDirectories } = sweep
  return new Sweeper({
    everyMs: everySeconds * 1000,
    graceMs: graceSeconds * 1000,
    directories: netnsDirectories,
    sweep: (signal) => sweepInChild({ program, dataDir, graceSeconds }, signal),
    onSwept: (totals, ms) => watch.swept(totals, ms),
  })
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)))
