/**
 * Leases of pods that are gone without a DEL: found on a slow tick, and soon after a network namespace vanishes from its directory.
 *
 * The sweep itself runs in a process of its own (shared/host/child.ts): beside many leases it reads for seconds, a disk that hangs
 * stops it alone, what it needed of memory goes back to the node, and it can be killed at any instant, as every call can.
 */
import { existsSync, type FSWatcher, statSync, watch as watchDirectory } from 'node:fs'
import { monotonicMs } from '../shared/clock.ts'
import { log } from '../shared/log.ts'
import { messageOf } from '../shared/message.ts'
import type { SweepTotals } from './watch.ts'

/** However many namespaces vanish, the next sweep does not begin earlier after the last one's end. */
const gapMs = 10_000
/** A DEL may still be on its way when the namespace is gone, and others are about to vanish as well. */
const settleMs = 1000
/** A sweep that takes long comes so much more rarely: a twentieth of one processor, whatever the number of leases. */
const restFactor = 20
/** The start of its process is no part of that. */
const startUpMs = 500

export interface SweeperOptions {
  /** From one sweep to the next. */
  readonly everyMs: number
  /** How long a namespace must have been gone, seen by an earlier sweep. */
  readonly graceMs: number
  /** Where network namespaces have their names; those that are not there are looked for again at each sweep. */
  readonly directories: readonly string[]
  /** Sweeps once; rejects when that fails, or soon after `signal` is aborted. */
  readonly sweep: (signal: AbortSignal) => Promise<SweepTotals>
  readonly onSwept: (totals: SweepTotals | undefined, ms: number) => void
}

/** A directory that is watched, as long as it is the one of that name. */
interface Watched {
  readonly id: string
  readonly watcher: FSWatcher
}

function identityOf(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false })
  return stat && `${stat.dev} ${stat.ino}`
}

export class Sweeper {
  readonly #options: SweeperOptions
  readonly #ending = new AbortController()
  readonly #watched = new Map<string, Watched>()
  #timer: NodeJS.Timeout | undefined
  /** When the timer rings. */
  #dueMs = Number.POSITIVE_INFINITY
  /** No sweep begins before. */
  #restUntilMs = 0
  #running: Promise<void> | undefined
  /** Something vanished while a sweep was running, which may have looked there before. */
  #again = false

  constructor(options: SweeperOptions) {
    this.#options = options
  }

  start(): void {
    this.#watchAll()
    this.#plan(this.#options.everyMs)
  }

  /** Nothing is swept any more when it resolves. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    for (const { watcher } of this.#watched.values()) watcher.close()
    this.#ending.abort()
    await this.#running
  }

  /** The next sweep begins in so many milliseconds, unless it begins earlier anyway. */
  #plan(inMs: number): void {
    if (this.#ending.signal.aborted) return
    const nowMs = monotonicMs()
    const dueMs = Math.max(nowMs + inMs, this.#restUntilMs)
    if (dueMs >= this.#dueMs) return
    this.#dueMs = dueMs
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#running = this.#run().finally(() => {
        this.#running = undefined
      })
    }, dueMs - nowMs)
  }

  #onVanished(): void {
    if (this.#running === undefined) this.#plan(settleMs)
    else this.#again = true
  }

  async #run(): Promise<void> {
    const { everyMs, graceMs, sweep, onSwept } = this.#options
    const startMs = monotonicMs()
    let totals: SweepTotals | undefined
    try {
      totals = await sweep(this.#ending.signal)
      const { released, waiting } = totals
      log(
        released > 0 ? 'info' : 'debug',
        `sweep: ${released} attachments released, ${waiting} seen gone for the first time`,
      )
    } catch (error) {
      if (this.#ending.signal.aborted) return
      log('warn', `cannot sweep: ${messageOf(error)}`)
    }
    const endMs = monotonicMs()
    const tookMs = endMs - startMs
    onSwept(totals, tookMs)
    this.#restUntilMs = endMs + Math.max(Math.min(gapMs, everyMs), (tookMs - startUpMs) * restFactor)
    this.#dueMs = Number.POSITIVE_INFINITY
    this.#watchAll()
    if (this.#again) this.#plan(settleMs)
    this.#again = false
    // What was seen gone is looked at again as soon as that may release it.
    this.#plan(totals !== undefined && totals.waiting > 0 ? Math.min(everyMs, graceMs) : everyMs)
  }

  /** Watches what is there and is not watched yet. One directory may have several names. */
  #watchAll(): void {
    for (const path of this.#options.directories) {
      const before = this.#watched.get(path)
      const id = identityOf(path)
      if (before?.id === id) continue
      before?.watcher.close()
      this.#watched.delete(path)
      if (id === undefined || this.#watched.values().some((other) => other.id === id)) continue
      try {
        const watcher = watchDirectory(path, { persistent: false }, (event, name) => {
          if (event === 'rename' && name !== null && !existsSync(`${path}/${name}`)) this.#onVanished()
        })
        watcher.on('error', (error) => log('warn', `cannot watch "${path}": ${error.message}`))
        this.#watched.set(path, { id, watcher })
      } catch (error) {
        // Too many watches on this node, say: the slow tick goes on.
        log('warn', `cannot watch "${path}": ${messageOf(error)}`)
      }
    }
  }
}
