/**
 * The undo stack of an operation that changes the host in steps.
 *
 * Every step that succeeded pushes how to take it back. On failure the steps run in reverse; an undo that fails
 * itself is logged and never hides the error that started it, and the ones below it still run.
 */
import { log } from './log.ts'
import { messageOf } from './message.ts'

export class Undo {
  readonly #steps: { readonly name: string; readonly revert: () => void | Promise<void> }[] = []

  readonly #kept = new DisposableStack()

  push(name: string, revert: () => void | Promise<void>): void {
    this.#steps.push({ name, revert })
  }

  /** What a step back holds until those below it have run, too. */
  keep(held: Disposable): void {
    this.#kept.use(held)
  }

  /** For a step back that fails: those below it stay undone, for whoever goes on there later. */
  leaveRest(): void {
    this.#steps.length = 0
  }

  /** Runs `work`; when it throws, takes back what it pushed and throws the same error on. */
  static async guard<T>(work: (undo: Undo) => Promise<T>): Promise<T> {
    const undo = new Undo()
    try {
      return await work(undo)
    } catch (error) {
      await undo.#rollBack()
      throw error
    }
  }

  async #rollBack(): Promise<void> {
    using _kept = this.#kept
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.revert()
      } catch (error) {
        log('error', `cannot undo "${step.name}": ${messageOf(error)}`)
      }
    }
  }
}
