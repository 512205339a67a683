/** What a DEL goes by: what was recorded of the attachment, what the runtime kept of its ADD, and the namespace of both. */
import type { AttachmentRecord } from '../ipam/index.ts'
import { CniError } from '../shared/cni/errors.ts'
import type { AttachmentKey, Request } from '../shared/cni/request.ts'
import { parseResult, type Result } from '../shared/cni/result.ts'
import { isErrno } from '../shared/disk.ts'
import { readBootId } from '../shared/host/boot.ts'
import { livingNamespaces } from '../shared/host/living.ts'
import { type Netns, openNetnsIfAny, sameNetns } from '../shared/host/netns.ts'
import { log } from '../shared/log.ts'
import { messageOf } from '../shared/message.ts'
import type { Deps } from './deps.ts'

/** The record, or undefined when there is none or it is damaged: a DEL must not fail for that. */
export function findRecord(request: Request, { store }: Deps): AttachmentRecord | undefined {
  try {
    return store.find(request.key)
  } catch (error) {
    if (!(error instanceof CniError) || error.errorName !== 'ERR_DAMAGED') throw error
    log('warn', error.message)
    return undefined
  }
}

/** The result of the ADD, if it was passed and can be read. */
export function previousOf({ config, version }: Request): Result | undefined {
  if (config.prevResult === undefined) return undefined
  try {
    return parseResult(config.prevResult, version)
  } catch (error) {
    log('warn', `prevResult is ignored: ${messageOf(error)}`)
    return undefined
  }
}

/**
 * The namespace to look in. A runtime that has lost it passes none, or a path that leads nowhere; while the pod lives, the
 * recorded path still leads to the namespace that its identity tells apart from all others.
 */
export function openOwnNetns(
  request: Request,
  record: AttachmentRecord | undefined,
  { root }: Deps,
): Netns | undefined {
  const recorded = record?.netns
  if (recorded === undefined) return openNetnsIfAny(request.netnsPath, request.netnsOverride, root)
  for (const path of [recorded.path, request.netnsPath]) {
    const found = openNetnsIfAny(path, true, root)
    if (found !== undefined && sameNetns(recorded, found.identity)) return found
    found?.[Symbol.dispose]()
  }
  // Its name is gone or somebody else's: what still uses it shows another. One of an earlier boot is nobody's.
  const path = record?.bootId === readBootId() ? livingNamespaces().find(recorded) : undefined
  const found = path === undefined ? undefined : openNetnsIfAny(path, true)
  if (found !== undefined && sameNetns(recorded, found.identity)) return found
  found?.[Symbol.dispose]()
  return undefined
}

/** Waits for other calls of what `key` names. On a disk without room for that a DEL goes on alone: it only makes room. */
export async function holdIfRoom({ store, hold }: Deps, key: AttachmentKey): Promise<Disposable | undefined> {
  try {
    return store.exists() ? await hold(key) : undefined
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined
    if (!isErrno(cause, 'ENOSPC', 'EDQUOT')) throw error
    log('warn', messageOf(error))
    return undefined
  }
}
