/** CNI_ARGS: `KEY=value;KEY=value` (SPEC section 2; the reference library's rules for unknown and broken pairs). */
import { CniError } from './errors.ts'

/** The arguments that are known: what runtimes send (K8S_*), whether this program reads it or not. */
const knownArgs = [
  'IP',
  'MAC',
  'GATEWAY',
  'IgnoreUnknown',
  'K8S_POD_NAMESPACE',
  'K8S_POD_NAME',
  'K8S_POD_UID',
  'K8S_POD_INFRA_CONTAINER_ID',
] as const
type CniArg = (typeof knownArgs)[number]
export type CniArgs = Readonly<Partial<Record<CniArg, string>>>

const isKnown = (key: string): key is CniArg => knownArgs.some((known) => known === key)

/**
 * Reads CNI_ARGS; keys are case-sensitive.
 * Throws ERR_ENVIRONMENT for a pair without `=`, for an unknown key unless IgnoreUnknown is 1 or true, and when that is no
 * truth value.
 */
export function parseArgs(text: string): CniArgs {
  if (text === '') return {}
  const args: Partial<Record<CniArg, string>> = {}
  const unknown: string[] = []
  for (const pair of text.split(';')) {
    const equals = pair.indexOf('=')
    if (equals < 1) throw new CniError('ERR_ENVIRONMENT', `CNI_ARGS: invalid pair ${JSON.stringify(pair)}`)
    const key = pair.slice(0, equals)
    if (isKnown(key)) args[key] = pair.slice(equals + 1)
    else unknown.push(pair)
  }
  const { IgnoreUnknown = 'false' } = args
  if (!/^(1|true|0|false)$/i.test(IgnoreUnknown)) {
    const why = `IgnoreUnknown is ${JSON.stringify(IgnoreUnknown)}: must be 1, true, 0 or false`
    throw new CniError('ERR_ENVIRONMENT', `CNI_ARGS: ${why}`)
  }
  if (unknown.length > 0 && !/^(1|true)$/i.test(IgnoreUnknown)) {
    throw new CniError('ERR_ENVIRONMENT', `CNI_ARGS: unknown args ${JSON.stringify(unknown)}`)
  }
  return args
}
