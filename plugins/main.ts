/** The one-shot door: one CNI call in a process of its own. */
import { readFileSync } from 'node:fs'
import { CniError } from '../shared/cni/errors.ts'
import { supportedVersions } from '../shared/cni/versions.ts'
import { setLogLevel } from '../shared/log.ts'
import { messageOf } from '../shared/message.ts'
import { writeAll } from '../shared/write.ts'
import { dispatch } from './dispatch.ts'
import { oneShotDeps } from './one-shot.ts'

function readStdin(): string {
  try {
    return readFileSync(0, 'utf8')
  } catch (error) {
    const why = messageOf(error)
    throw new CniError('ERR_IO', `error reading from stdin: ${why}`, { cause: error })
  }
}

/** Answers the call of the plugin `name` and returns the exit code. */
export async function main(name: string, version: string): Promise<number> {
  const environment = process.env
  setLogLevel(environment.BERTH_LOG)
  if ((environment.CNI_COMMAND ?? '') === '') {
    const about = `CNI ${name} plugin ${version}\nCNI protocol versions supported: ${supportedVersions.join(', ')}\n`
    writeAll(2, about)
    return 0
  }
  const reply = await dispatch({ name, environment, readStdin }, oneShotDeps(environment))
  writeAll(1, reply.stdout)
  return reply.exitCode
}
