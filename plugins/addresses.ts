/**
 * Where an attachment's addresses come from: our own IPAM in the same process, a foreign IPAM plugin, or nowhere
 * (layer 2 only). Whichever it is, the attachment is recorded before the kernel is changed: DEL goes by that record.
 */

import {
  type AttachmentRecord,
  checkLeases,
  checkReady,
  claimOf,
  collect,
  emptyPlan,
  ipamResult,
  ipamType,
  type Plan,
  planOf,
} from '../ipam/index.ts'
import { CniError, orUnavailable } from '../shared/cni/errors.ts'
import type { Request } from '../shared/cni/request.ts'
import { parseResult, type Result } from '../shared/cni/result.ts'
import { delegate, findPlugin } from '../shared/host/delegate.ts'
import type { Netns } from '../shared/host/netns.ts'
import { log } from '../shared/log.ts'
import type { Undo } from '../shared/undo.ts'
import { Declined, type Deps } from './deps.ts'

export type RecordedLink = NonNullable<AttachmentRecord['link']>

export interface Addressed {
  /** The IPAM's answer; without addresses on layer 2. */
  readonly result: Result
  /** The link to make: the one recorded when the same attachment was claimed before. */
  readonly link: RecordedLink
  /** This call claimed it: nobody else can have made the link. */
  readonly fresh: boolean
  /** When it is on disk, where it is not yet. */
  readonly durable: Promise<void> | undefined
}

const foreignType = ({ config }: Request): string | undefined => {
  const type = config.ipam?.type
  return type === undefined || type === '' || type === ipamType ? undefined : type
}

/** Whether the addresses come from an IPAM plugin that is not ours. */
export const isForeign = (request: Request): boolean => foreignType(request) !== undefined

async function callForeign(request: Request, deps: Deps, type: string, verb: Request['verb']): Promise<string> {
  const { pluginPath: folders, stdin } = request
  return await delegate({ type, verb, folders, environment: deps.environment, stdin })
}

async function addForeign(request: Request, deps: Deps, type: string): Promise<Result> {
  const answer = await callForeign(request, deps, type, 'ADD')
  let raw: unknown
  try {
    raw = JSON.parse(answer)
  } catch (error) {
    throw new CniError('ERR_DELEGATE', `Cannot read the result of IPAM "${type}": not JSON`, { cause: error })
  }
  const result = parseResult(raw, request.version, `result of IPAM "${type}"`)
  if (result.ips.length === 0) throw new CniError('ERR_DELEGATE', `IPAM plugin "${type}" returned missing IP config`)
  return result
}

/** What the attachment's addresses come from; with a foreign IPAM that is not for us to know. Throws ERR_CONFIG. */
export function planFor(request: Request, { root, resident }: Deps): Plan {
  const type = request.config.ipam?.type
  if (type === ipamType) {
    const plan = planOf(request, root)
    // The wire has a fifth of a second to answer.
    if (plan.probe && resident) throw new Declined()
    return plan
  }
  if (type !== undefined && type !== '' && type === request.config.type) {
    throw new CniError('ERR_CONFIG', `Cannot use "${type}" as ipam.type: it is the main plugin itself`)
  }
  return emptyPlan
}

/** Claims the attachment's addresses and records `link`; what is new of it is taken back by `undo`. */
export async function claimFor(
  request: Request,
  deps: Deps,
  plan: Plan,
  netns: Netns,
  link: RecordedLink,
  undo: Undo,
): Promise<Addressed> {
  const foreign = foreignType(request)
  // Before anything is recorded: a plugin that is not there could not take back what it never did either.
  if (foreign !== undefined) findPlugin(foreign, request.pluginPath)
  const { record, fresh, durable } = await deps.claim(claimOf(request, plan, netns, link))
  if (fresh) {
    undo.push('claim', async () => {
      await deps.undoClaim(request.key)
    })
  }
  if (fresh && foreign !== undefined) {
    // Pushed first: a plugin that failed half way is told to clean up as well (SPEC section 4).
    undo.push(`ADD of IPAM "${foreign}"`, async () => {
      await callForeign(request, deps, foreign, 'DEL')
    })
  }
  const result = foreign === undefined ? ipamResult(record, plan) : await addForeign(request, deps, foreign)
  return { result, link: record.link ?? link, fresh, durable }
}

/** Gives everything back; the link is gone by now. A foreign IPAM that fails leaves the record for a retry. */
export async function release(request: Request, deps: Deps): Promise<void> {
  const foreign = foreignType(request)
  if (foreign !== undefined) await callForeign(request, deps, foreign, 'DEL')
  await deps.release(request.key)
}

/** The IPAM's part of CHECK. */
export async function checkClaim(request: Request, deps: Deps, previous: Result): Promise<void> {
  const foreign = foreignType(request)
  if (foreign !== undefined) await callForeign(request, deps, foreign, 'CHECK')
  else if (request.config.ipam?.type === ipamType) checkLeases(deps.store, request, previous)
}

/** The IPAM's part of GC; attachments without addresses are recorded too, so our own part always runs. */
export async function collectFor(request: Request, deps: Deps): Promise<void> {
  try {
    for (const warning of collect(deps.store, request)) log('warn', warning)
  } finally {
    const foreign = foreignType(request)
    if (foreign !== undefined) await callForeign(request, deps, foreign, 'GC')
  }
}

/** The IPAM's part of STATUS. */
export async function checkAddressesReady(request: Request, deps: Deps): Promise<void> {
  const foreign = foreignType(request)
  if (foreign !== undefined) await callForeign(request, deps, foreign, 'STATUS')
  const plan = planFor(request, deps)
  orUnavailable(() => checkReady(deps.store, request.config.name, plan))
}
