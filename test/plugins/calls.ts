/** Calls of the program without a process: what goes in, and the reply with its JSON read. */
import { allPlugins } from '../../plugins/all.ts'
import type { Deps } from '../../plugins/deps.ts'
import { type Call, dispatch } from '../../plugins/dispatch.ts'
import type { Environment } from '../../shared/cni/request.ts'
import { environmentOfAdd, plainConfig } from '../shared/cni/requests.ts'

export interface Answer {
  readonly exitCode: number
  readonly stdout: string
  /** The JSON of standard output; undefined when there is none. */
  readonly json: unknown
}

export async function answerTo(call: Call, deps: Deps): Promise<Answer> {
  const { exitCode, stdout } = await dispatch(call, deps, allPlugins)
  return { exitCode, stdout, json: stdout === '' ? undefined : JSON.parse(stdout) }
}

/** A call with these variables and keys instead of or besides the plain ones. */
export function callOf(name: string, environment: Environment, config: object = {}): Call {
  const stdin = JSON.stringify({ ...plainConfig, type: name, ...config })
  return { name, environment: { ...environmentOfAdd, ...environment }, readStdin: () => stdin }
}
