/** The agent: its places, the line of calls, and how it ends. */
import { dispatch } from '../plugins/dispatch.ts'
import { type Peer, pathToRoot } from '../shared/host/peer.ts'
import { log } from '../shared/log.ts'
import { messageOf } from '../shared/message.ts'
import { type Caller, Resources } from './deps.ts'
import type { CallFrame } from './frame.ts'
import { Line } from './line.ts'
import { callServer } from './server.ts'
import { Place } from './sockets.ts'
import { warmUp } from './warm.ts'

interface AgentOptions {
  /** Its socket is the first that launchers try. */
  readonly runDir: string
  /** The leases, and a second socket for callers in containers that see only this. */
  readonly dataDir: string
}

const declined = { exitCode: 0, stdout: '', declined: true } as const

/** Undefined for a caller whose files cannot be found: it is in a PID namespace that is not below ours, or gone. */
function callerOf(peer: Peer): Caller | undefined {
  if (peer.pid === 0) return undefined
  try {
    const root = pathToRoot(peer)
    const isAlive = (): boolean => {
      try {
        return pathToRoot(peer) === root
      } catch {
        return false
      }
    }
    return { root, isAlive }
  } catch (error) {
    log('debug', `process ${peer.pid}: ${messageOf(error)}`)
    return undefined
  }
}

export class Agent {
  readonly #line = new Line()
  readonly #resources: Resources
  readonly #options: AgentOptions
  #places: readonly Place[] = []

  constructor(options: AgentOptions) {
    this.#options = options
    this.#resources = new Resources(options.dataDir)
  }

  async #answer(call: CallFrame, peer: Peer): ReturnType<typeof dispatch> {
    const caller = callerOf(peer)
    if (caller === undefined) return declined
    const { name, environment, stdin } = call
    return await dispatch({ name, environment, readStdin: () => stdin }, this.#resources.depsFor(environment, caller))
  }

  /** Throws when another agent is there already, or a socket cannot be made. */
  async start(): Promise<void> {
    const { runDir, dataDir } = this.#options
    this.#places = [new Place(runDir, true), ...(dataDir === runDir ? [] : [new Place(dataDir, false)])]
    await warmUp(`${runDir}/warm`)
    for (const place of this.#places) {
      await place.open(callServer(this.#line, (call, peer) => this.#answer(call, peer)))
      log('info', `answering at "${place.path}"`)
    }
  }

  /** Serves those who are there, and ends. */
  async stop(): Promise<void> {
    for (const place of this.#places) place.hide()
    await this.#line.close()
    for (const place of this.#places) place[Symbol.dispose]()
  }
}
