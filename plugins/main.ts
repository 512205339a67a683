/** The one-shot door: one CNI call in a process of its own. The program text of the plugins that most calls are for. */
import { readFileSync } from 'node:fs'
import { CniError } from '../shared/cni/errors.ts'
import { supportedVersions } from '../shared/cni/versions.ts'
import { endProcess } from '../shared/host/libc.ts'
import { setLogLevel } from '../shared/log.ts'
import { messageOf } from '../shared/message.ts'
import { writeAll } from '../shared/write.ts'
import { dispatch, type Plugins } from './dispatch.ts'
import { oneShotDeps } from './one-shot.ts'
import { usualPlugins } from './usual.ts'

function readStdin(): string {
  try {
    return readFileSync(0, 'utf8')
  } catch (error) {
    const why = messageOf(error)
    throw new CniError('ERR_IO', `error reading from stdin: ${why}`, { cause: error })
  }
}

/** Answers the call of the plugin `name`, and ends the process or returns the exit code. */
export async function main(name: string, version: string, plugins: Plugins = usualPlugins): Promise<number> {
  const environment = process.env
  setLogLevel(environment.BERTH_LOG)
  if ((environment.CNI_COMMAND ?? '') === '') {
    const about = `CNI ${name} plugin ${version}\nCNI protocol versions supported: ${supportedVersions.join(', ')}\n`
    writeAll(2, about)
    return 0
  }
  const reply = await dispatch({ name, environment, readStdin }, oneShotDeps(environment), plugins)
  writeAll(1, reply.stdout)
  // Nothing is left to wait for: what was to be written is, synchronously.
  endProcess(reply.exitCode)
  return reply.exitCode
}
