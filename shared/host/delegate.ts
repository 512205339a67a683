/**
 * Calling another plugin as the specification says (SPEC section 4): found on CNI_PATH, given our environment and the
 * whole config, its errors passed through.
 */
import { accessSync, constants, statSync } from 'node:fs'
import { CniError } from '../cni/errors.ts'
import type { Environment } from '../cni/request.ts'

/** A plugin that answers with more is broken. */
const answerMaxChars = 4 * 1024 * 1024
/** For what a plugin printed before its exit and we have not read yet. */
const outputGraceMs = 1000

/** Below the shortest time-out of a runtime, so that our caller hears who was slow. */
const delegateTimeoutMs = 50_000

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    // Not in this folder; when it is in none, the error names all of them.
    return false
  }
}

/** The plugin's program. Throws ERR_CONFIG for a type that is a path, or that is in none of the folders. */
export function findPlugin(type: string, folders: readonly string[]): string {
  // A type with a slash would run any program of the host as root (CVE-2021-20206).
  if (type.includes('/')) throw new CniError('ERR_CONFIG', `Cannot call plugin "${type}": the type is a path`)
  for (const folder of folders) {
    const path = `${folder}/${type}`
    if (isExecutable(path)) return path
  }
  throw new CniError('ERR_CONFIG', `failed to find plugin "${type}" in path [${folders.join(' ')}]`)
}

/** A delegate's error JSON, or its bare words when it printed none. */
function toDelegateError(type: string, stdout: string, how: string): CniError {
  try {
    const { code, msg, details } = JSON.parse(stdout)
    if (typeof code === 'number' && typeof msg === 'string') {
      return new CniError('ERR_DELEGATE', msg, { code, details: typeof details === 'string' ? details : '' })
    }
  } catch {
    // No JSON: what it printed is quoted below.
  }
  return new CniError('ERR_DELEGATE', `Plugin "${type}" failed: ${how}`, { details: stdout.slice(0, 500) })
}

export interface Delegation {
  readonly type: string
  readonly verb: string
  readonly folders: readonly string[]
  readonly environment: Environment
  readonly stdin: string
}

/** Runs the plugin and returns its standard output. Throws the plugin's own error, or ERR_DELEGATE. */
export async function delegate({ type, verb, folders, environment, stdin }: Delegation): Promise<string> {
  const path = findPlugin(type, folders)
  // Loaded only when it is needed: the module costs a start-up more than a whole claim takes.
  const { spawn } = process.getBuiltinModule('node:child_process')
  const env = { ...environment, CNI_COMMAND: verb }
  return await new Promise((resolve, reject) => {
    // Its standard error is ours: the runtime shows both together.
    const child = spawn(path, { env, stdio: ['pipe', 'pipe', 'inherit'] })
    let stdout = ''
    let limit = ''
    const stop = (reached: string): void => {
      limit = reached
      child.kill('SIGKILL')
    }
    const timer = setTimeout(() => stop(`no answer within ${delegateTimeoutMs} ms`), delegateTimeoutMs)
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      if (stdout.length > answerMaxChars) stop(`its answer is longer than ${answerMaxChars} characters`)
    })
    child.on('error', (error) =>
      reject(new CniError('ERR_DELEGATE', `Cannot run "${path}": ${error.message}`, { cause: error })),
    )
    // A child of the plugin may hold its standard output open for ever; the plugin's own answer is complete at its exit.
    child.on('exit', () => setTimeout(() => child.stdout.destroy(), outputGraceMs).unref())
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      if (code === 0) resolve(stdout)
      else
        reject(toDelegateError(type, stdout, limit || (signal === null ? `exit code ${code}` : `killed by ${signal}`)))
    })
    // A plugin that does not read its config closes the pipe; its exit code says what that meant.
    child.stdin.on('error', () => undefined)
    child.stdin.end(stdin)
  })
}
