/** What a plugin is given from outside, the same through every door. */
import type { Claim, Claimed, Store } from '../ipam/index.ts'
import type { AttachmentKey, Request } from '../shared/cni/request.ts'
import type { Result } from '../shared/cni/result.ts'
import type { NetlinkSocket } from '../shared/host/netlink.ts'
import type { Netns } from '../shared/host/netns.ts'

type Awaitable<T> = T | Promise<T>

export interface Deps {
  readonly store: Store
  /** Where attachments, leases and held VFs are kept. */
  readonly dataDir: string
  /** The environment for delegated plugins: that of the caller. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** What leads to the caller's root directory; '' when it is this process's own. */
  readonly root: string
  /** Whether one process serves many calls: then a call that would stop it is declined before anything is done. */
  readonly resident: boolean
  /** A socket in the node's own network namespace; a call disposes of it as if it was its own. */
  openHost(): NetlinkSocket
  /** Keeps other calls of the same attachment waiting until it is disposed of. Throws ERR_TRY_AGAIN. */
  hold(key: AttachmentKey): Awaitable<Disposable>
  /** Claims addresses. Errors: those of claimAddresses. */
  claim(claim: Claim): Awaitable<Claimed>
  /** Releases all that the attachment holds, whose link is gone; false when that is nothing. */
  release(key: AttachmentKey): Awaitable<boolean>
  /** The same for a claim of this call, whose link never was. */
  undoClaim(key: AttachmentKey): Awaitable<boolean>
  /** Removes the link with this index from the socket's namespace; afterwards its name and addresses are free. Throws SystemError. */
  deleteLink(netns: Netns, socket: NetlinkSocket, index: number): Awaitable<void>
}

/** Thrown before anything was done: the call would stop a process that others wait for, and is for one of its own. */
export class Declined extends Error {}

/** A plugin's verbs. They throw CniError; only ADD answers with a result. */
export interface Plugin {
  add(request: Request, deps: Deps): Promise<Result>
  del(request: Request, deps: Deps): Promise<void>
  check(request: Request, deps: Deps): Promise<void>
  gc(request: Request, deps: Deps): Promise<void>
  status(request: Request, deps: Deps): Promise<void>
  /** Keys of the config that are probably misspelt, as warnings. */
  keyWarnings(request: Request): string[]
  /** Whether a call stops its process for long, because it waits for other programs. */
  stops(request: Request): boolean
}
