/** Who has a shared lock: what the lock's file says, and what can be told about its holder from here. */
import { closeSync, constants, fstatSync, futimesSync, openSync, readSync } from 'node:fs'
import { isErrno } from '../../shared/disk.ts'
import { type ProcessIdentity, processStartTime } from '../../shared/host/process.ts'

export interface Holder extends ProcessIdentity {
  /** Tells this hold from every other one. */
  readonly nonce: string
  /** By the holder's own clock: for people to read, never compared. */
  readonly since: string
}

/** What a look at a lock's file found. */
export interface Seen {
  readonly nonce: string
  /** Undefined when the file does not say who: the server lost its content, or it is no lock of this kind. */
  readonly holder: Holder | undefined
  readonly mtimeMs: number
}

export const renderHolder = (holder: Holder): string => `${JSON.stringify(holder)}\n`

/** The nonce of a file that has none. No two such files are told apart; a lock that somebody takes always has one. */
const nonceOfUnreadable = 'unreadable'
/** It becomes a part of a file's name. */
const noncePattern = /^[\w-]{16}$/
const fileMaxBytes = 4096

const isText = (value: unknown): value is string => typeof value === 'string'

/** By hand and not by a schema: every call would pay for making the schema, and hardly one needs it. */
function parseHolder(text: string): Holder | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { host, machine, bootId, pidNamespace, pid, startTime, nonce, since } = value as Record<string, unknown>
  if (!isText(host) || !isText(machine) || !isText(bootId) || !isText(pidNamespace)) return undefined
  if (!isText(startTime) || !isText(nonce) || !isText(since) || !noncePattern.test(nonce)) return undefined
  if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid <= 0) return undefined
  return { host, machine, bootId, pidNamespace, pid, startTime, nonce, since }
}

/**
 * Looks at a lock's file; undefined when there is none. Opened, and not asked for by its name: a network file system asks
 * its server when a file is opened, and answers a question about a name from memory. `touch`: who holds it under that
 * nonce gives a sign of life.
 */
export function lookAt(path: string, touch?: string): Seen | undefined {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW)
    try {
      const bytes = Buffer.alloc(fileMaxBytes)
      const holder = parseHolder(bytes.toString('utf8', 0, readSync(fd, bytes)))
      if (touch !== undefined && touch === holder?.nonce) futimesSync(fd, new Date(), new Date())
      return { nonce: holder?.nonce ?? nonceOfUnreadable, holder, mtimeMs: fstatSync(fd).mtimeMs }
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    // ESTALE: another host removed it between two of the calls above.
    if (isErrno(error, 'ENOENT', 'ESTALE')) return undefined
    throw error
  }
}

/**
 * Whether a holder lives, as far as that can be known from `self`: only about processes of the same host, boot and process
 * namespace, and about those of an earlier boot, which are dead. The name alone is not the host: two clusters have a
 * "worker-1" each.
 */
export function stateOf(holder: ProcessIdentity, self: ProcessIdentity): 'alive' | 'dead' | 'unknown' {
  if (holder.host !== self.host || holder.machine !== self.machine) return 'unknown'
  if (holder.bootId !== self.bootId) return self.machine === '' ? 'unknown' : 'dead'
  if (holder.pidNamespace !== self.pidNamespace) return 'unknown'
  return processStartTime(holder.pid) === holder.startTime ? 'alive' : 'dead'
}
