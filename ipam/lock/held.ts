/**
 * The shared locks that this process holds, and the signs of life that keep them its own.
 *
 * proper-lockfile gives a sign from a timer, which has its turn while a call waits for something: another program, an answer
 * from the wire. Synchronous work gives none, so whatever goes through many records, or waits for a second lock, calls in here.
 * A lock that is lost all the same (the host slept, the server was away) never doubles an address: link(2) gives an address's
 * name once, whoever has the lock. But what another holder does meanwhile is not for this process to release: it stops.
 */
import { monotonicMs } from '../../shared/clock.ts'
import { CniError } from '../../shared/cni/errors.ts'

/** How often a holder gives a sign: several times in the silence after which another host takes it for dead. */
export const signEveryMs = 1000

interface Held {
  readonly path: string
  /** A sign of life; false when the lock has gone to another host. */
  readonly refresh: () => boolean
  signAtMs: number
  lost: boolean
}

const all = new Set<Held>()

/** Counts a lock that was just taken among those held; the answer is to be called when it is given back. */
export function noteHeld(path: string, refresh: () => boolean): () => void {
  const held: Held = { path, refresh, signAtMs: monotonicMs(), lost: false }
  all.add(held)
  return () => void all.delete(held)
}

/** A sign of life for every lock that gave none for a while. Costs nothing where no lock is shared. */
export function giveSigns(): void {
  if (all.size === 0) return
  const nowMs = monotonicMs()
  for (const held of all) {
    if (held.lost || nowMs - held.signAtMs < signEveryMs) continue
    held.lost = !held.refresh()
    held.signAtMs = nowMs
  }
}

/**
 * As giveSigns, for who is about to write, or goes through many records. Throws ERR_TRY_AGAIN when a lock is lost: a process
 * is one call, and with any of its locks all of its work is another's.
 */
export function checkHeld(): void {
  giveSigns()
  for (const { path, lost } of all) {
    if (lost) throw new CniError('ERR_TRY_AGAIN', `Cannot keep the lock "${path}": it went to another host`)
  }
}
