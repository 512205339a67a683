import { CniError } from '../shared/cni/errors.ts'

/** A runtime that comes again and again for one attachment, whose first call is stuck, needs no more. */
export const waitingMaxCalls = 16

/** Calls of one attachment, one after the other in the order they came; those of different ones do not know of each other. */
export class Turns {
  readonly #waiting = new Map<string, number>()
  /** The end of the last one in the line of each attachment. */
  readonly #last = new Map<string, Promise<void>>()

  /**
   * Waits until all who came before are done; the next one waits until the turn is disposed of. Throws ERR_TRY_AGAIN when more than
   * `maxCalls` wait: then nobody else's calls would be at work any more.
   */
  async take(name: string, maxCalls: number): Promise<Disposable> {
    const waiting = this.#waiting.get(name) ?? 0
    if (waiting >= maxCalls) {
      throw new CniError('ERR_TRY_AGAIN', `Cannot serve "${name}": ${waiting} calls of it are waiting already`)
    }
    this.#waiting.set(name, waiting + 1)
    const before = this.#last.get(name)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#last.set(name, promise)
    await before
    return {
      [Symbol.dispose]: () => {
        if (this.#last.get(name) === promise) this.#last.delete(name)
        const left = (this.#waiting.get(name) ?? 1) - 1
        if (left > 0) this.#waiting.set(name, left)
        else this.#waiting.delete(name)
        resolve()
      },
    }
  }
}
