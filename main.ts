/**
 * The program: one executable with several names. Under a plugin's name it answers a CNI call; under any other it is the
 * administrator's `berth`.
 */
import { basename } from 'node:path'
import { main as cli } from './cli/main.ts'
import { isPluginName } from './plugins/dispatch.ts'
import { defaultDataDir, main as plugin } from './plugins/main.ts'

declare const BERTH_VERSION: string

const name = basename(process.argv0)

async function start(): Promise<number> {
  if (isPluginName(name)) return await plugin(name, BERTH_VERSION)
  return cli(process.argv.slice(2), process.env.BERTH_DATA_DIR || defaultDataDir, BERTH_VERSION)
}

start().then((exitCode) => {
  // Nothing is left to wait for; going through the event loop's end would only add to every call.
  process.exit(exitCode)
})
