/** The agent's places: one agent for each, a socket that is there only when somebody answers. */
import { chmodSync, closeSync, constants, fstatSync, openSync, statSync } from 'node:fs'
import { connect, type Server } from 'node:net'
import { makeDirectory, moveName, removeName } from '../shared/disk.ts'
import { tryFlock } from '../shared/host/libc.ts'
import { listenAt } from './server.ts'

const ownerOnly = 0o700
const socketMode = 0o600

/** Puts a server's socket in its place at one instant, over what a dead process left there; only our user may connect. Returns its inode. */
export async function openInPlace(server: Server, path: string): Promise<bigint> {
  const before = statSync(path, { throwIfNoEntry: false })
  if (before !== undefined && !before.isSocket()) throw new Error('there is something else of that name')
  const passing = `${path}.new`
  removeName(passing)
  // Whoever connects before chmod(2) is asked who it is all the same.
  await listenAt(server, passing)
  chmodSync(passing, socketMode)
  const { ino } = statSync(passing, { bigint: true })
  moveName(passing, path)
  return ino
}

const isAt = (path: string, ino: bigint): boolean =>
  statSync(path, { bigint: true, throwIfNoEntry: false })?.ino === ino

/** Whether a process answers at a socket. */
export async function isAnswered(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(path)
    socket.on('error', () => resolve(false))
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}

/** Removes a socket, unless another one has taken its place. */
export function removeSocket(path: string, ino: bigint): void {
  if (isAt(path, ino)) removeName(path)
}

/** Makes the directory and locks it; returns what holds the lock. Throws when another agent does, or it cannot be made. */
function lockPlace(directory: string, isPrivate: boolean): number {
  makeDirectory(directory)
  if (isPrivate) chmodSync(directory, ownerOnly)
  const fd = openSync(lockOf(directory), constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, socketMode)
  if (tryFlock(fd)) return fd
  closeSync(fd)
  throw new Error(`another agent answers in "${directory}"`)
}

const lockOf = (directory: string): string => `${directory}/agent.lock`

/** A directory that an agent answers in, as long as it is held. */
export class Place implements Disposable {
  readonly path: string
  readonly #directory: string
  readonly #isPrivate: boolean
  #fd: number
  #ino: bigint | undefined
  #server: Server | undefined

  /** Throws when another agent holds the directory, or it cannot be made. */
  constructor(directory: string, isPrivate: boolean) {
    this.#directory = directory
    this.#isPrivate = isPrivate
    this.#fd = lockPlace(directory, isPrivate)
    this.path = `${directory}/agent.sock`
  }

  async open(server: Server): Promise<void> {
    this.#ino = await openInPlace(server, this.path)
    this.#server = server
  }

  /** Whether launchers find it. */
  get isOpen(): boolean {
    return this.#ino !== undefined && isAt(this.path, this.#ino)
  }

  /** Opens again what somebody removed; who is here is served. Throws as the constructor, and what open() fails with. */
  async reopen(server: Server): Promise<void> {
    const isLocked = isAt(lockOf(this.#directory), fstatSync(this.#fd, { bigint: true }).ino)
    if (!isLocked) {
      const fd = lockPlace(this.#directory, this.#isPrivate)
      closeSync(this.#fd)
      this.#fd = fd
    }
    const before = this.#server
    await this.open(server)
    before?.close()
  }

  /** From now on whoever calls finds nobody here, and does without; returns when those who are here are served. */
  async close(): Promise<void> {
    this.#hide()
    // Who has connected and heard no hello yet is turned away by this, and does without as well.
    await new Promise<void>((resolve) => {
      if (this.#server === undefined) resolve()
      else this.#server.close(() => resolve())
    })
    this.#server = undefined
  }

  #hide(): void {
    if (this.#ino !== undefined) removeSocket(this.path, this.#ino)
    this.#ino = undefined
  }

  [Symbol.dispose](): void {
    this.#hide()
    this.#server?.close()
    closeSync(this.#fd)
  }
}
