/**
 * The lock of a directory that is shared between hosts, where no kernel sees all who want it: proper-lockfile's protocol,
 * made safe through the five calls it makes. The lock is a file with its holder's identity and a nonce.
 *
 *   take     write `.new,<nonce>`, link(2) it to the lock's name: one wins
 *   release  the nonce is still ours? then unlink
 *   clear    link(2) a file of ours to `.dead,<its nonce>`: one wins, and it alone may remove that hold;
 *            the nonce is still that one? then unlink; remove `.dead,<its nonce>`
 *
 * Who may be cleared away: a process of this host that is dead, at once; one of another host that gave no sign of life for
 * `silentMaxMs`, on our own clock. Never a living process of this host, however long it holds.
 *
 * A host that sleeps for longer than that and wakes up in the middle of its work has lost the lock, and learns it from its next
 * sign of life (held.ts). What it does before that is the reason why the store does not trust the lock (ipam/ledger/store.ts).
 */

import { lstatSync, readdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { monotonicMs } from '../../shared/clock.ts'
import { createExclusive, discardName, removeName } from '../../shared/disk.ts'
import { ownIdentity, type ProcessIdentity } from '../../shared/host/process.ts'
import { randomNonce } from '../../shared/host/random.ts'
import { log } from '../../shared/log.ts'
import { giveSigns } from './held.ts'
import { type Holder, lookAt, renderHolder, type Seen, stateOf } from './holder.ts'
import { pollMs, sleep } from './wait.ts'

/** How long a holder on another host may be silent; below the wait of a call, or no call would ever get past it. */
const silentMaxMs = 10_000
/** Far more than a call lasts. What is older than this, by the clock of the server, is nobody's any more. */
const leftOverMs = 3_600_000

/**
 * A look at the lock's file is a few requests to a server, so a waiter looks less often the longer it takes. Whether a process
 * of this host has died is asked of this kernel alone, which costs the server nothing.
 */
const lookMaxMs = 9
const lookGrowth = 1.3
const deathLookMs = 3

const temporaryPrefix = '.new,'
const tokenPrefix = '.dead,'

export interface SharedLockOptions {
  readonly silentMaxMs?: number
  /** Who we say we are: a test plays another host. */
  readonly self?: ProcessIdentity
}

const errno = (code: string): Error => Object.assign(new Error(`lock: ${code}`), { code })

/** One attempt to get a lock, from the first try to the release, in the words of proper-lockfile. */
export class SharedLock {
  readonly #path: string
  readonly #directory: string
  readonly #self: ProcessIdentity
  readonly #silentMaxMs: number
  readonly #nonce = randomNonce()
  /** Files of others, by path: what they said, and since when they say nothing new, on our clock. */
  readonly #silent = new Map<string, { sign: string; since: number }>()
  #state: 'waiting' | 'taken' | 'probed' = 'waiting'
  #seen: Seen | undefined
  #stale = false
  #lookMs = pollMs
  #mtime = new Date()

  constructor(path: string, options: SharedLockOptions = {}) {
    this.#path = path
    this.#directory = dirname(path)
    this.#self = options.self ?? ownIdentity()
    this.#silentMaxMs = options.silentMaxMs ?? silentMaxMs
  }

  /** Who had the lock when it was last looked at. */
  get holder(): Holder | undefined {
    return this.#seen?.holder
  }

  /** Waits until a try is worth its price: the lock is free, or its holder dead. False when it is not by then. */
  waitUntil(deadlineMs: number): boolean {
    for (;;) {
      const leftMs = deadlineMs - monotonicMs()
      if (leftMs <= 0) return false
      this.#pause(Math.min(this.#lookMs, leftMs))
      this.#lookMs = Math.min(this.#lookMs * lookGrowth, lookMaxMs)
      // Of an attachment's lock, say, while another call has that of the store.
      giveSigns()
      this.#seen = lookAt(this.#path)
      if (this.#seen === undefined || this.#isStale(this.#path, this.#seen)) return true
    }
  }

  /** Stops the thread for that long, or until the holder dies, if it is a living process of this host. */
  #pause(ms: number): void {
    const endMs = monotonicMs() + ms
    const lives = (): boolean => this.#seen !== undefined && this.#stateOf(this.#seen) === 'alive'
    const stepMs = lives() ? deathLookMs : ms
    do sleep(Math.min(stepMs, endMs - monotonicMs()))
    while (monotonicMs() < endMs && lives())
  }

  /** Takes the lock, or throws EEXIST. */
  mkdirSync(): void {
    // Only the first try makes a file unseen: a waiter looks, which costs less, and leaves nothing when it is killed.
    if (this.#seen !== undefined) this.#seen = lookAt(this.#path)
    if (this.#seen !== undefined || !this.#create(this.#path)) throw errno('EEXIST')
    this.#state = 'taken'
    this.#mtime = new Date()
  }

  /**
   * The lock's age as proper-lockfile understands it: as old as can be when it may be cleared away, and else new. It asks
   * for the age of its own lock too, and wants to hear the time it set.
   */
  statSync(): { mtime: Date } {
    if (this.#state !== 'waiting') return { mtime: this.#mtime }
    this.#seen ??= lookAt(this.#path)
    if (this.#seen === undefined) throw errno('ENOENT')
    this.#stale = this.#isStale(this.#path, this.#seen)
    return { mtime: this.#stale ? new Date(0) : new Date() }
  }

  /** Gives the lock back; or clears away what statSync() called stale. */
  rmdirSync(): void {
    if (this.#state !== 'waiting') {
      this.#state = 'waiting'
      if (!this.#removeOwn(this.#path)) log('warn', `the lock "${this.#path}" went to another host before its release`)
    } else if (this.#stale && this.#seen !== undefined) {
      this.#clear(this.#path, this.#seen)
      this.#stale = false
      this.#seen = undefined
    }
  }

  /**
   * A sign of life. Comes once at the beginning, where it only asks how exact the times of the file system are; and then
   * from proper-lockfile's timer, which never fires while synchronous work holds the lock.
   */
  utimesSync(mtime: Date): void {
    this.#mtime = mtime
    if (this.#state === 'probed' && !this.refresh()) throw errno('ENOENT')
    this.#state = 'probed'
  }

  /** Gives a sign of life; false when the lock is no longer ours. Who holds for long calls it several times in silentMaxMs. */
  refresh(): boolean {
    return this.#state !== 'waiting' && lookAt(this.#path, this.#nonce)?.nonce === this.#nonce
  }

  #create(path: string): boolean {
    const content = renderHolder({ ...this.#self, nonce: this.#nonce, since: new Date().toISOString() })
    return createExclusive(path, `${this.#directory}/${temporaryPrefix}${this.#nonce}`, content)
  }

  /** Removes a file that we made, unless it is another's by now. */
  #removeOwn(path: string): boolean {
    return lookAt(path)?.nonce === this.#nonce && removeName(path)
  }

  #stateOf({ holder }: Seen): 'alive' | 'dead' | 'unknown' {
    return holder === undefined ? 'unknown' : stateOf(holder, this.#self)
  }

  #isStale(path: string, seen: Seen): boolean {
    const state = this.#stateOf(seen)
    if (state !== 'unknown') return state === 'dead'
    // The times of two machines are never compared, only whether this one changes.
    const sign = `${seen.nonce} ${seen.mtimeMs}`
    const now = monotonicMs()
    const silent = this.#silent.get(path)
    if (silent?.sign === sign) return now - silent.since >= this.#silentMaxMs
    this.#silent.set(path, { sign, since: now })
    return false
  }

  /** Removes the file of a hold that is over, if nobody else is about to: then the next try finds out. */
  #clear(path: string, dead: Seen): void {
    const token = `${this.#directory}/${tokenPrefix}${dead.nonce}`
    if (!this.#create(token)) {
      // Its maker may have died in the middle: then the token is cleared away, by the same rules.
      const maker = lookAt(token)
      if (maker !== undefined && this.#isStale(token, maker)) this.#clear(token, maker)
      return
    }
    try {
      if (lookAt(path)?.nonce === dead.nonce) removeName(path)
      this.#sweep(lstatSync(token).mtimeMs)
    } finally {
      this.#removeOwn(token)
    }
  }

  /** Removes what killed calls left in the directory. Only after a death, which is when there is something. */
  #sweep(serverNowMs: number): void {
    for (const name of readdirSync(this.#directory)) {
      if (!name.startsWith(temporaryPrefix) && !name.startsWith(tokenPrefix)) continue
      const path = `${this.#directory}/${name}`
      const seen = lookAt(path)
      if (seen === undefined || seen.nonce === this.#nonce) continue
      const state = this.#stateOf(seen)
      if (state === 'alive' || (state === 'unknown' && serverNowMs - seen.mtimeMs < leftOverMs)) continue
      // A temporary name is one process's alone. A token may be made anew meanwhile: it is cleared like a lock.
      if (name.startsWith(temporaryPrefix)) discardName(path)
      else this.#clear(path, seen)
    }
  }
}
