/** Calls of one attachment, one after the other in the order they came; those of different ones do not know of each other. */
export class Turns {
  /** The end of the last one in the line of each attachment. */
  readonly #last = new Map<string, Promise<void>>()

  /** Waits until all who came before are done; the next one waits until the turn is disposed of. */
  async take(name: string): Promise<Disposable> {
    const before = this.#last.get(name)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#last.set(name, promise)
    await before
    return {
      [Symbol.dispose]: () => {
        if (this.#last.get(name) === promise) this.#last.delete(name)
        resolve()
      },
    }
  }
}
