/**
 * The packaged agent of a node, started and ended without waiting for events: a test reads on as if it had been there before.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'

const binaries = join(import.meta.dirname, '..', '..', 'dist', 'cni')
const startWithinMs = 20_000
const endWithinMs = 30_000
const sleeper = new Int32Array(new SharedArrayBuffer(4))

/** Waits until `condition` holds; false when the time is up. */
function until(condition: () => boolean, withinMs: number): boolean {
  const deadline = performance.now() + withinMs
  while (!condition()) {
    if (performance.now() > deadline) return false
    Atomics.wait(sleeper, 0, 0, 5)
  }
  return true
}

/** A process that is none of our children: whoever collects it, a zombie is dead. */
function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

/**
 * What a command on the node begins with. Where all tests go through an agent, that and its callers see the same mounts, as on a node
 * whose agent is no container; otherwise everybody has mounts of his own.
 */
export const inNode = (node: string): string[] =>
  process.env.BERTH_TEST_DOOR === 'agent' ? ['nsenter', `--net=/run/netns/${node}`] : ['ip', 'netns', 'exec', node]

export interface AgentPlace {
  /** The network namespace of the node, by its name. */
  readonly node: string
  readonly dataDir: string
}

export class Agent implements Disposable {
  readonly pid: number
  readonly runDir: string
  readonly socket: string
  readonly #log: string

  /** Starts it with these options besides its places, and waits until it answers; throws its log when it does not. */
  constructor({ node, dataDir }: AgentPlace, options: readonly string[] = ['--no-warm-up']) {
    this.runDir = `${dataDir}.run`
    this.socket = `${dataDir}/agent.sock`
    this.#log = `${dataDir}.agent.log`
    const command = [...inNode(node), join(binaries, 'berth'), 'agent']
    const places = ['--run-dir', this.runDir, '--data-dir', dataDir]
    const script = '"$@" </dev/null >>"$LOG" 2>&1 & echo $!'
    const env = { ...process.env, LOG: this.#log, BERTH_LOG: 'warn' }
    // One that was there before leaves its socket when it is killed.
    const inode = (): number | undefined => statSync(this.socket, { throwIfNoEntry: false })?.ino
    const before = inode()
    const { stdout } = spawnSync('sh', ['-c', script, 'sh', ...command, ...places, ...options], {
      encoding: 'utf8',
      env,
    })
    this.pid = Number(stdout)
    const answers = (): boolean => inode() !== undefined && inode() !== before
    if (until(() => answers() || !isAlive(this.pid), startWithinMs) && answers()) return
    this.stop('SIGKILL')
    throw new Error(`the agent does not answer: ${this.log()}`)
  }

  get isAlive(): boolean {
    return isAlive(this.pid)
  }

  /** What it has written, from the first one of this directory on. */
  log(): string {
    return existsSync(this.#log) ? readFileSync(this.#log, 'utf8') : ''
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal)
  }

  /** Ends it and waits for that; throws when it lives on. */
  stop(signal: NodeJS.Signals = 'SIGTERM'): void {
    if (this.isAlive) this.signal(signal)
    // One that stands still hears nothing else.
    if (this.isAlive) this.signal('SIGCONT')
    if (!until(() => !this.isAlive, endWithinMs)) throw new Error(`the agent does not end: ${this.log()}`)
  }

  [Symbol.dispose](): void {
    try {
      this.stop()
    } finally {
      rmSync(this.runDir, { recursive: true, force: true })
      rmSync(this.#log, { force: true })
    }
  }
}
