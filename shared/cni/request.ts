/**
 * One CNI call, read once from environment and standard input into a frozen Request. Reading does nothing else: no
 * lock, no namespace, no kernel. Texts and order of the complaints are those of the reference library (pkg/skel).
 */
import { messageOf } from '../message.ts'
import { type CniArgs, parseArgs } from './args.ts'
import { CniError } from './errors.ts'
import { keyValue, readKeys } from './keys.ts'
import { type NetConf, netConfSchema, readRemovalConf } from './netconf.ts'
import {
  type CniVersion,
  impliedVersion,
  parseVersion,
  supportedVersions,
  type Verb,
  verbAllowed,
  verbs,
} from './versions.ts'

/** The one key of the whole program: who holds a link and its addresses. */
export interface AttachmentKey {
  readonly network: string
  readonly containerId: string
  readonly ifName: string
}

export type Environment = Readonly<Record<string, string | undefined>>

export interface Request {
  readonly verb: Exclude<Verb, 'VERSION'>
  readonly version: CniVersion
  readonly key: AttachmentKey
  /** CNI_NETNS; '' when the runtime has none left (DEL). */
  readonly netnsPath: string
  /** CNI_NETNS_OVERRIDE: the caller knows that its own namespace is meant. */
  readonly netnsOverride: boolean
  /** CNI_PATH, the folders in which other plugins are found. */
  readonly pluginPath: readonly string[]
  readonly args: CniArgs
  readonly config: NetConf
  /** The whole config as parsed JSON: plugins read their own keys from it, delegates get its text. */
  readonly raw: Readonly<Record<string, unknown>>
  readonly stdin: string
}

// A file name of both plus the interface stays below the 255 bytes of every file system (ipam/FORMAT.md).
const containerIdMaxBytes = 128
const networkMaxBytes = 100
const ifNameMaxBytes = 15
const stdinMaxChars = 4 * 1024 * 1024

const identifier = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/
// JavaScript's $ matches only at the very end without the m flag, so a trailing newline is refused here too.

function checkContainerId(id: string): void {
  if (!identifier.test(id)) throw new CniError('ERR_ENVIRONMENT', 'invalid characters in containerID', { details: id })
  if (id.length > containerIdMaxBytes) {
    const details = `CNI_CONTAINERID is "${id}", at most ${containerIdMaxBytes} bytes are allowed`
    throw new CniError('ERR_ENVIRONMENT', 'containerID is too long', { details })
  }
}

/** Characters of Unicode's category Cc. Not by \p{Cc}: the first such pattern of a process costs a quarter of a millisecond. */
const hasControl = (text: string): boolean =>
  [...text].some((character) => character < ' ' || (character >= '\x7f' && character < '\xa0'))

function checkIfName(name: string): void {
  const refuse = (msg: string, rule = ''): never => {
    throw new CniError('ERR_ENVIRONMENT', msg, { details: `${rule}CNI_IFNAME is ${JSON.stringify(name)}` })
  }
  if (Buffer.byteLength(name) > ifNameMaxBytes) {
    refuse('interface name is too long', 'interface name should be less than 16 characters; ')
  }
  if (name === '.' || name === '..') refuse('interface name is . or ..')
  if (/[/:\s]/.test(name) || hasControl(name)) refuse('interface name contains / or : or whitespace characters')
  // "net%d" is a pattern to the kernel: it would make a link of another name than the one we answer with.
  if (name.includes('%')) refuse('interface name contains %')
}

function checkNetworkName(name: string): void {
  if (name === '') throw new CniError('ERR_CONFIG', 'missing network name')
  if (!identifier.test(name)) {
    throw new CniError('ERR_CONFIG', 'invalid characters found in network name', { details: name })
  }
  if (name.length > networkMaxBytes) {
    const details = `the name is "${name}", at most ${networkMaxBytes} bytes are allowed`
    throw new CniError('ERR_CONFIG', 'network name is too long', { details })
  }
}

/** Whether a key can be that of a call. Throws the errors that such a call would get. */
export function checkKey({ network, containerId, ifName }: AttachmentKey): void {
  checkNetworkName(network)
  checkContainerId(containerId)
  if (ifName === '') throw new CniError('ERR_ENVIRONMENT', 'interface name is empty')
  checkIfName(ifName)
}

const attachmentVerbs: readonly string[] = ['ADD', 'DEL', 'CHECK']
const delegatingVerbs: readonly string[] = [...attachmentVerbs, 'GC', 'STATUS']

/** The variables in the reference's order: who needs them, and how a present value is judged. */
const variables: readonly { name: string; needed: (verb: string) => boolean; check?: (value: string) => void }[] = [
  { name: 'CNI_COMMAND', needed: () => true },
  { name: 'CNI_CONTAINERID', needed: (verb) => attachmentVerbs.includes(verb), check: checkContainerId },
  { name: 'CNI_NETNS', needed: (verb) => verb === 'ADD' || verb === 'CHECK' },
  { name: 'CNI_IFNAME', needed: (verb) => attachmentVerbs.includes(verb), check: checkIfName },
  { name: 'CNI_PATH', needed: (verb) => delegatingVerbs.includes(verb) },
]

function checkEnvironment(env: Environment): void {
  const verb = env.CNI_COMMAND ?? ''
  const missing: string[] = []
  for (const { name, needed, check } of variables) {
    const value = env[name] ?? ''
    if (value === '' && needed(verb)) missing.push(name)
    else if (value !== '' && needed(verb)) check?.(value)
  }
  if (missing.length > 0) {
    throw new CniError('ERR_ENVIRONMENT', `required env variables [${missing.join(',')}] missing`)
  }
}

/** The config's text as an object. Throws ERR_DECODE when it is not JSON, or not an object. */
export function parseConfig(stdin: string): Record<string, unknown> {
  if (stdin.length > stdinMaxChars) {
    throw new CniError('ERR_DECODE', `error unmarshall network config: longer than ${stdinMaxChars} characters`)
  }
  let raw: unknown
  try {
    raw = JSON.parse(stdin)
  } catch (error) {
    const why = messageOf(error)
    throw new CniError('ERR_DECODE', `error unmarshall network config: ${why}`, { cause: error })
  }
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    throw new CniError('ERR_DECODE', 'error unmarshall network config: the config must be a JSON object')
  }
  return Object.fromEntries(Object.entries(raw))
}

function checkVersion(verb: Verb, config: NetConf): CniVersion {
  const version = parseVersion(config.cniVersion || impliedVersion)
  if (version === undefined) {
    const known = supportedVersions.map((one) => `"${one}"`).join(' ')
    const details = `config is "${config.cniVersion}", plugin supports [${known}]`
    throw new CniError('ERR_VERSION', 'incompatible CNI versions', { details })
  }
  if (!verbAllowed(verb, version)) {
    throw new CniError('ERR_VERSION', `config version does not allow ${verb}`, { details: `config is "${version}"` })
  }
  return version
}

const isRequestVerb = (verb: string): verb is Request['verb'] => verb !== 'VERSION' && verbs.some((v) => v === verb)

/**
 * Reads a call other than VERSION. `onConfig` is told the config's cniVersion as soon as it is known ('': it has none), so
 * that an error met later can be rendered in it.
 */
export function parseRequest(
  env: Environment,
  readStdin: () => string,
  onConfig: (cniVersion: string) => void,
): Request {
  checkEnvironment(env)
  const stdin = readStdin()
  const raw = parseConfig(stdin)
  const spoken = keyValue(raw, 'cniVersion')
  if (spoken === undefined || typeof spoken === 'string') onConfig(spoken ?? '')
  const verb = env.CNI_COMMAND ?? ''
  const config = verb === 'DEL' ? readRemovalConf(raw) : readKeys(netConfSchema, raw, '')
  checkNetworkName(config.name)
  if (!isRequestVerb(verb)) throw new CniError('ERR_ENVIRONMENT', `unknown CNI_COMMAND: ${verb}`)
  return Object.freeze({
    verb,
    version: checkVersion(verb, config),
    key: { network: config.name, containerId: env.CNI_CONTAINERID ?? '', ifName: env.CNI_IFNAME ?? '' },
    netnsPath: env.CNI_NETNS ?? '',
    netnsOverride: /^(1|true)$/i.test(env.CNI_NETNS_OVERRIDE ?? ''),
    pluginPath: (env.CNI_PATH ?? '').split(':').filter((folder) => folder !== ''),
    // What only an ADD uses must not keep a DEL from cleaning up.
    args: verb === 'ADD' || verb === 'CHECK' ? parseArgs(env.CNI_ARGS ?? '') : {},
    config,
    raw,
    stdin,
  })
}
