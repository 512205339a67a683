/** The agent: its places, the line of calls, and how it ends. */
import { normalize } from 'node:path'
import { allPlugins } from '../plugins/all.ts'
import { declined, dispatch, type Reply } from '../plugins/dispatch.ts'
import { isPluginName } from '../plugins/names.ts'
import { type Peer, pathToRoot } from '../shared/host/peer.ts'
import { log, timed } from '../shared/log.ts'
import { messageOf } from '../shared/message.ts'
import { type Caller, Resources } from './deps.ts'
import type { CallFrame } from './frame.ts'
import { Line } from './line.ts'
import { callServer } from './server.ts'
import { Place } from './sockets.ts'
import { warmUp } from './warm.ts'
import { type Facts, unwatched, type Watch } from './watch.ts'

/** A look costs two system calls. */
const reopenEveryMs = 2000

interface AgentOptions {
  /** Its socket is the first that launchers try. */
  readonly runDir: string
  /** The leases, and a second socket for callers in containers that see only this. */
  readonly dataDir: string
  /** Whether it makes calls of its own first, so that no other is slow. */
  readonly warm: boolean
  /** Whether it answers calls; what else there is to do of a directory that hosts share is done without. */
  readonly calls?: boolean
  readonly watch?: Watch
}

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

/** Whether a path leads where it leads the caller: not from its working directory, and not to its own descriptors. */
const meansTheSameHere = (path: string): boolean =>
  path === '' || (path.startsWith('/') && !/^\/+(proc\/(self|thread-self)|dev\/fd)(\/|$)/.test(normalize(path)))

export class Agent {
  readonly #line = new Line()
  readonly #resources: Resources
  readonly #options: AgentOptions
  #places: readonly Place[] = []
  #state: Facts['state'] = 'warming up'
  #reopening: NodeJS.Timeout | undefined

  constructor(options: AgentOptions) {
    this.#options = options
    this.#resources = new Resources(options.dataDir, options.watch)
  }

  async #answer(call: CallFrame, peer: Peer): ReturnType<typeof dispatch> {
    const caller = callerOf(peer)
    const { name, environment, stdin } = call
    if (caller === undefined || !isPluginName(name) || !meansTheSameHere(environment.CNI_NETNS ?? '')) return declined
    return await timed(environment.CNI_COMMAND ?? 'call', () =>
      dispatch({ name, environment, readStdin: () => stdin }, this.#resources.depsFor(environment, caller), allPlugins),
    )
  }

  /** Throws when another agent is there already, or a socket cannot be made. */
  async start(): Promise<void> {
    const { runDir, dataDir, warm, calls = true, watch = unwatched } = this.#options
    if (!calls) {
      // Leases of its own on every node is what nobody wants who asks for this.
      if (!this.#resources.store.shared) throw new Error(`"${dataDir}" is no directory that hosts share`)
      this.#state = 'answering'
      return
    }
    this.#places = [new Place(runDir, true), ...(dataDir === runDir ? [] : [new Place(dataDir, false)])]
    if (this.#resources.store.shared) {
      throw new Error(`cannot serve "${dataDir}": hosts share it, and their locks stop who waits for them`)
    }
    if (warm) await warmUp(`${runDir}/warm`)
    for (const [index, place] of this.#places.entries()) {
      await place.open(this.#newServer(index, watch))
      log('info', `answering at "${place.path}"`)
    }
    this.#state = 'answering'
    this.#reopening = setInterval(() => void this.#reopen(watch), reopenEveryMs).unref()
  }

  #newServer(index: number, watch: Watch): ReturnType<typeof callServer> {
    const door = index === 0 ? 'run' : 'data'
    const onAnswered = (call: CallFrame, reply: Reply, ms: number): void => watch.answered(door, call, reply, ms)
    return callServer(this.#line, (call, peer) => this.#answer(call, peer), onAnswered)
  }

  /** Nobody finds an agent whose socket somebody removed, and nothing else would tell it. */
  async #reopen(watch: Watch): Promise<void> {
    for (const [index, place] of this.#places.entries()) {
      if (place.isOpen || this.#state !== 'answering') continue
      try {
        await place.reopen(this.#newServer(index, watch))
        log('warn', `"${place.path}" was gone: answering there again`)
      } catch (error) {
        log('warn', `cannot answer at "${place.path}" again: ${messageOf(error)}`)
      }
    }
  }

  get facts(): Facts {
    const { waiting, atWork } = this.#line
    const reachable = this.#places.every((place) => place.isOpen)
    return { state: this.#state, reachable, waiting, atWork, removing: this.#resources.removing }
  }

  /** Serves those who are there, and ends. */
  async stop(): Promise<void> {
    this.#state = 'draining'
    clearInterval(this.#reopening)
    await Promise.all(this.#places.map((place) => place.close()))
    await this.#line.close()
    for (const place of this.#places) place[Symbol.dispose]()
  }
}
