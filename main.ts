/**
 * The program: one executable with several names. Under a plugin's name it answers a CNI call; under any other it is the
 * administrator's `berth`. This much only chooses: what follows is one of several program texts, and no other is read.
 */
import { basename } from 'node:path'
import type { main as runAgent } from './agent/main.ts'
import type { main as runCli } from './cli/main.ts'
import type { main as runInstall } from './install/main.ts'
import type { main as runPlugin } from './plugins/main.ts'
import { isPluginName } from './plugins/names.ts'
import type { main as runSriov } from './plugins/sriov/main.ts'
import { ownName } from './shared/aliases.ts'
import { dataDirOf } from './shared/data-dir.ts'
import { log } from './shared/log.ts'
import { messageOf } from './shared/message.ts'

declare const BERTH_VERSION: string
interface Texts {
  readonly plugins: { readonly main: typeof runPlugin }
  readonly sriov: { readonly main: typeof runSriov }
  readonly cli: { readonly main: typeof runCli }
  readonly agent: { readonly main: typeof runAgent }
  readonly install: { readonly main: typeof runInstall }
}
/** Evaluates a text (packaging/loader.ts). */
export type LoadText = <Name extends keyof Texts>(name: Name) => Texts[Name]

async function start(loadText: LoadText): Promise<number> {
  const name = basename(process.argv0)
  if (isPluginName(name)) {
    const text = ownName(name) === 'berth-sriov' ? 'sriov' : 'plugins'
    return await loadText(text).main(name, BERTH_VERSION)
  }
  const args = process.argv.slice(2)
  if (args[0] === 'agent') return await loadText('agent').main(args.slice(1))
  if (args[0] === 'install') return await loadText('install').main(args.slice(1), BERTH_VERSION)
  return await loadText('cli').main(args, dataDirOf(process.env), BERTH_VERSION)
}

export function main(loadText: LoadText): void {
  start(loadText).then(
    (exitCode) => process.exit(exitCode),
    (error) => {
      // The answer itself could not be written: whoever called is gone, and what was attached is for its DEL.
      log('error', `cannot answer: ${messageOf(error)}`)
      process.exit(1)
    },
  )
}
