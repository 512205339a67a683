/** The agent's places: one agent for each, a socket that is there only when somebody answers. */
import { chmodSync, closeSync, constants, openSync, statSync } from 'node:fs'
import type { Server } from 'node:net'
import { makeDirectory, moveName, removeName } from '../shared/disk.ts'
import { tryFlock } from '../shared/host/libc.ts'
import { listenAt } from './server.ts'

const ownerOnly = 0o700
const socketMode = 0o600

/** A directory that an agent answers in, as long as it is held. */
export class Place implements Disposable {
  readonly path: string
  readonly #fd: number
  #ino: bigint | undefined
  #server: Server | undefined

  /** Throws when another agent holds the directory, or it cannot be made. */
  constructor(directory: string, isPrivate: boolean) {
    makeDirectory(directory)
    if (isPrivate) chmodSync(directory, ownerOnly)
    this.path = `${directory}/agent.sock`
    const lock = `${directory}/agent.lock`
    this.#fd = openSync(lock, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, socketMode)
    if (tryFlock(this.#fd)) return
    closeSync(this.#fd)
    throw new Error(`another agent answers in "${directory}"`)
  }

  /** Puts the socket in its place at one instant, over what a dead agent left there. */
  async open(server: Server): Promise<void> {
    const path = `${this.path}.new`
    removeName(path)
    // Between bind(2) and chmod(2) only the owner of the process may connect.
    const before = process.umask(0o777 & ~socketMode)
    try {
      await listenAt(server, path)
    } finally {
      process.umask(before)
    }
    chmodSync(path, socketMode)
    this.#server = server
    this.#ino = statSync(path, { bigint: true }).ino
    moveName(path, this.path)
  }

  /** From now on whoever calls finds nobody here, and does without. */
  hide(): void {
    if (this.#ino !== undefined && statSync(this.path, { bigint: true, throwIfNoEntry: false })?.ino === this.#ino) {
      removeName(this.path)
    }
    this.#ino = undefined
  }

  [Symbol.dispose](): void {
    this.hide()
    this.#server?.close()
    closeSync(this.#fd)
  }
}
