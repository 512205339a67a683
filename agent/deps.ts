/** The agent's side of a plugin: nothing may stop the process that the others are served by. */
import { type Claim, GroupCommit, lockWaitMaxMs, openStore, releaseAddresses, type Store } from '../ipam/index.ts'
import type { Deps } from '../plugins/deps.ts'
import { nodeNetwork } from '../shared/attachment.ts'
import { monotonicMs, wallClock } from '../shared/clock.ts'
import { CniError } from '../shared/cni/errors.ts'
import type { AttachmentKey, Environment } from '../shared/cni/request.ts'
import { removeLinkEarly } from '../shared/host/link-removal.ts'
import { NetlinkSocket } from '../shared/host/netlink.ts'
import { patiently } from './patience.ts'
import { Turns, waitingMaxCalls } from './turns.ts'
import { unwatched, type Watch } from './watch.ts'

/** Who calls: what leads to its root directory, and whether it is still there. */
export interface Caller {
  readonly root: string
  readonly isAlive: () => boolean
}

/** The one for the node itself is asked by every call, one after the other, and stays open. */
class HostSocket extends NetlinkSocket {
  override [Symbol.dispose](): void {}

  close(): void {
    super[Symbol.dispose]()
  }
}

export class Resources implements Disposable {
  readonly store: Store
  readonly #dataDir: string
  readonly #claims: GroupCommit
  readonly #turns = new Turns()
  readonly #host = new HostSocket()
  readonly #watch: Watch
  #removing = 0

  constructor(dataDir: string, watch: Watch = unwatched) {
    this.#watch = watch
    this.#dataDir = dataDir
    this.store = openStore(dataDir, { waitMs: 0, patienceMs: lockWaitMaxMs, deferred: true })
    this.#claims = new GroupCommit(this.store, (claims) => watch.committed(claims))
  }

  [Symbol.dispose](): void {
    this.#host.close()
    this.store[Symbol.dispose]()
  }

  /** Links that are gone for everybody but the kernel itself. */
  get removing(): number {
    return this.#removing
  }

  /** One call of an attachment after the other, those of other processes included. */
  async #hold(key: AttachmentKey, isWanted: () => boolean): Promise<Disposable> {
    const deadlineMs = monotonicMs() + lockWaitMaxMs
    // What is the node's is every call's, and each has it for a moment.
    const maxCalls = key.network === nodeNetwork ? Number.POSITIVE_INFINITY : waitingMaxCalls
    const turn = await this.#turns.take(`${key.network},${key.containerId},${key.ifName}`, maxCalls)
    try {
      const held = await patiently(() => this.store.hold(key), deadlineMs)
      // Who called may have given up since, and its DEL may be done: nobody would remove what is made now.
      if (!isWanted()) {
        held[Symbol.dispose]()
        throw new CniError('ERR_TRY_AGAIN', `Cannot serve "${key.containerId}/${key.ifName}": the caller is gone`)
      }
      return {
        [Symbol.dispose]: () => {
          using _turn = turn
          held[Symbol.dispose]()
        },
      }
    } catch (error) {
      turn[Symbol.dispose]()
      throw error
    }
  }

  async #undoClaim(key: AttachmentKey): Promise<boolean> {
    return await patiently(() => releaseAddresses(this.store, key, wallClock()))
  }

  async #release(key: AttachmentKey, { root, isAlive }: Caller): Promise<boolean> {
    // Where its files are is known through the living process only: a namespace that was not found may be there all the same.
    if (root !== '' && !isAlive()) {
      throw new CniError('ERR_TRY_AGAIN', `Cannot release "${key.containerId}/${key.ifName}": the caller is gone`)
    }
    return await this.#undoClaim(key)
  }

  depsFor(environment: Environment, caller: Caller): Deps {
    // What has begun goes on to its end or its undo, and its DEL waits for that.
    let hasBegun = false
    const isWanted = (): boolean => hasBegun || caller.isAlive()
    return {
      store: this.store,
      dataDir: this.#dataDir,
      environment,
      root: caller.root,
      resident: true,
      openHost: () => this.#host,
      hold: async (key) => {
        const held = await this.#hold(key, isWanted)
        hasBegun = true
        return held
      },
      claim: (claim: Claim) => {
        this.#watch.claimed(claim)
        return this.#claims.claim(claim)
      },
      release: (key) => this.#release(key, caller),
      undoClaim: (key) => this.#undoClaim(key),
      deleteLink: async (netns, socket, index) => {
        await removeLinkEarly(netns, socket, index, (isUnderWay) => {
          this.#removing += isUnderWay ? 1 : -1
        })
      },
    }
  }
}
