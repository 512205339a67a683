/**
 * The program: one executable with several names. Under a plugin's name it answers a CNI call; under any other it is the
 * administrator's `berth`, whose text is loaded only then, as that of the agent is.
 */
import { basename } from 'node:path'
import type { main as runAgent } from './agent/main.ts'
import type { main as runCli } from './cli/main.ts'
import type { main as runInstall } from './install/main.ts'
import { isPluginName } from './plugins/dispatch.ts'
import { main as plugin } from './plugins/main.ts'
import { dataDirOf } from './shared/data-dir.ts'
import { endProcess } from './shared/host/libc.ts'
import { log } from './shared/log.ts'
import { messageOf } from './shared/message.ts'

declare const BERTH_VERSION: string
interface Texts {
  readonly cli: { readonly main: typeof runCli }
  readonly agent: { readonly main: typeof runAgent }
  readonly install: { readonly main: typeof runInstall }
}
/** Evaluates the text of `cli/main.ts`, `agent/main.ts` or `install/main.ts` (packaging/loader.cjs). */
declare const loadText: <Name extends keyof Texts>(name: Name) => Texts[Name]

const name = basename(process.argv0)

async function start(): Promise<number> {
  if (isPluginName(name)) return await plugin(name, BERTH_VERSION)
  const args = process.argv.slice(2)
  if (args[0] === 'agent') return await loadText('agent').main(args.slice(1))
  if (args[0] === 'install') return await loadText('install').main(args.slice(1), BERTH_VERSION)
  return await loadText('cli').main(args, dataDirOf(process.env), BERTH_VERSION)
}

start().then(
  // Nothing is left to wait for: what was to be written is, synchronously.
  (exitCode) => {
    endProcess(exitCode)
    process.exit(exitCode)
  },
  (error) => {
    // The answer itself could not be written: whoever called is gone, and what was attached is for its DEL.
    log('error', `cannot answer: ${messageOf(error)}`)
    process.exit(1)
  },
)
