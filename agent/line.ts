/**
 * The line in which calls stand: so many at work at once, so many waiting, none of them for ever. Most of a call is work of the one
 * thread that there is; those at work at once are those that wait for a disk or for the kernel.
 */

import type { Reply } from '../plugins/dispatch.ts'
import { monotonicMs } from '../shared/clock.ts'
import { CniError, renderError } from '../shared/cni/errors.ts'

const atWorkMaxCalls = 128
const waitingMaxCalls = 4096
/** Who has waited so long has a runtime that is about to give up: it shall not get what nobody will look for. */
const waitMaxMs = 30_000

interface Standing {
  /** Nobody waits for the reply any more. */
  readonly isGone: () => boolean
  /** Never rejects. */
  readonly run: () => Promise<Reply>
  readonly reply: (reply: Reply) => void
}

function tryAgain(why: string): Reply {
  return { exitCode: 1, stdout: renderError(new CniError('ERR_TRY_AGAIN', `Cannot serve the call: ${why}`), undefined) }
}

export class Line {
  readonly #waiting: { readonly one: Standing; readonly sinceMs: number }[] = []
  #atWork = 0
  #closed = false
  #onEmpty: (() => void) | undefined

  get waiting(): number {
    return this.#waiting.length
  }

  get atWork(): number {
    return this.#atWork
  }

  join(one: Standing): void {
    // Nothing was done yet: a process of its own can do it.
    if (this.#closed) one.reply({ exitCode: 0, stdout: '', declined: true })
    else if (this.#waiting.length >= waitingMaxCalls) one.reply(tryAgain(`${waitingMaxCalls} others are waiting`))
    else {
      this.#waiting.push({ one, sinceMs: monotonicMs() })
      this.#next()
    }
  }

  /** Waits until all who are in are served; whoever still comes is declined. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#atWork + this.#waiting.length === 0) return
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve
    })
  }

  #next(): void {
    while (this.#atWork < atWorkMaxCalls) {
      const first = this.#waiting.shift()
      if (first === undefined) break
      const { one, sinceMs } = first
      if (one.isGone()) continue
      if (monotonicMs() - sinceMs > waitMaxMs) one.reply(tryAgain(`it has waited for more than ${waitMaxMs} ms`))
      else void this.#serve(one)
    }
    if (this.#atWork + this.#waiting.length === 0) this.#onEmpty?.()
  }

  async #serve(one: Standing): Promise<void> {
    this.#atWork++
    const reply = await one.run()
    this.#atWork--
    one.reply(reply)
    this.#next()
  }
}
