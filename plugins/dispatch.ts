/** One CNI call, whichever door it came in by: environment and config in, exit code and the one JSON out. */
import { ownName } from '../shared/aliases.ts'
import { type CniError, renderError, toCniError } from '../shared/cni/errors.ts'
import { type Environment, parseRequest, type Request } from '../shared/cni/request.ts'
import { renderResult } from '../shared/cni/result.ts'
import { newestVersion, supportedVersions } from '../shared/cni/versions.ts'
import { log, timedNow } from '../shared/log.ts'
import { Declined, type Deps, type Plugin } from './deps.ts'
import { withOwnIpam } from './own-ipam.ts'

/** The plugins of a program text, by their CNI `type`. */
export type Plugins = Readonly<Partial<Record<string, Plugin>>>

export interface Call {
  /** The name the program was called by. */
  readonly name: string
  readonly environment: Environment
  readonly readStdin: () => string
}

export interface Reply {
  readonly exitCode: 0 | 1
  readonly stdout: string
  /** Nothing was done: the call would stop a process that others wait for, and is for one of its own. */
  readonly declined?: true
}

/** What a VERSION call is answered with (SPEC section 5). */
const versionReply = (): Reply => ({
  exitCode: 0,
  stdout: `${JSON.stringify({ cniVersion: newestVersion, supportedVersions })}\n`,
})

/** They look at every record, or wait for the lock as long as it takes. */
const longVerbs: readonly string[] = ['GC', 'STATUS']

export const declined: Reply = { exitCode: 0, stdout: '', declined: true }

/** The verbs that answer with silence, and the plugin's function for each. */
const silentVerbs = { DEL: 'del', CHECK: 'check', GC: 'gc', STATUS: 'status' } as const

async function run(plugin: Plugin, request: Request, deps: Deps): Promise<string> {
  for (const warning of plugin.keyWarnings(request)) log('warn', warning)
  if (request.verb === 'ADD') return renderResult(await plugin.add(request, deps), request.version)
  await plugin[silentVerbs[request.verb]](request, deps)
  return ''
}

/**
 * Answers a call, or in a resident process declines it. Never throws: whatever goes wrong becomes the specification's error JSON and
 * exit code 1.
 */
export async function dispatch(call: Call, deps: Deps, plugins: Plugins): Promise<Reply> {
  let cniVersion: string | undefined
  try {
    if (call.environment.CNI_COMMAND === 'VERSION') return versionReply()
    const request = timedNow('parse', () => {
      const asked = parseRequest(call.environment, call.readStdin, (version) => {
        cniVersion = version
      })
      return withOwnIpam(asked, deps.root)
    })
    const plugin = plugins[ownName(call.name)]
    if (plugin === undefined) throw new Error(`no plugin is called "${call.name}"`)
    if (deps.resident && (longVerbs.includes(request.verb) || plugin.stops(request))) return declined
    return { exitCode: 0, stdout: await run(plugin, request, deps) }
  } catch (thrown) {
    if (thrown instanceof Declined) return declined
    const error: CniError = toCniError(thrown)
    if (error.errorName === 'ERR_INTERNAL' && thrown instanceof Error) log('error', thrown.stack ?? thrown.message)
    return { exitCode: 1, stdout: renderError(error, cniVersion) }
  }
}
