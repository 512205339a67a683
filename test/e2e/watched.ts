/**
 * As agent.ts, for tests that speak to the agent themselves and watch it: the packaged `berth agent` on a node (host.ts), in its network namespace, and in our mount namespace, so that a pod's
 * path means the same to it and to whoever calls.
 *
 *     await using agent = await startAgent(host)
 *     await agent.call('ADD', pod, host.config())
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type AgentReply, callAgent } from '../agent/client.ts'
import { type Fetched, fetchOver, samplesOf } from '../agent/http.ts'
import { binaries, type CallOptions, type Host, type Pod } from './host.ts'

const startWithinMs = 20_000
const stopWithinMs = 60_000
const pauseMs = 20

export interface StartOptions {
  /** More of its command line. */
  readonly args?: readonly string[]
  readonly environment?: Record<string, string>
  /** Serves its metrics at the socket `metrics` of its run directory. */
  readonly metrics?: boolean
  /** Waits until this is there; the run directory's socket unless told. */
  readonly until?: 'answering' | 'metrics'
}

export class RunningAgent implements AsyncDisposable {
  readonly runDir: string
  readonly #child: ChildProcess
  readonly #host: Host
  #stderr = ''

  constructor(host: Host, { args = [], environment = {}, metrics = false }: StartOptions) {
    this.#host = host
    this.runDir = mkdtempSync(join(tmpdir(), 'berth-run-'))
    const options = ['--run-dir', this.runDir, '--data-dir', host.dataDir]
    if (metrics) options.push('--metrics-address', this.metricsPath)
    // Unlike `ip netns exec` nsenter leaves the mounts alone.
    const command = [`--net=/run/netns/${host.node}`, join(binaries, 'berth'), 'agent', ...options, ...args]
    const env = { PATH: process.env.PATH, ...environment }
    this.#child = spawn('nsenter', command, { env, stdio: ['ignore', 'ignore', 'pipe'] })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
    })
  }

  /** nsenter becomes the agent. */
  get pid(): number {
    return this.#child.pid ?? 0
  }

  get exitCode(): number | null {
    return this.#child.exitCode
  }

  /** What it has logged. */
  get stderr(): string {
    return this.#stderr
  }

  /** The socket that launchers try first. */
  get socketPath(): string {
    return `${this.runDir}/agent.sock`
  }

  get dataSocketPath(): string {
    return `${this.#host.dataDir}/agent.sock`
  }

  get metricsPath(): string {
    return `${this.runDir}/metrics`
  }

  async waitUntil(what: string, is: () => boolean | Promise<boolean>, withinMs = startWithinMs): Promise<void> {
    for (const deadline = Date.now() + withinMs; !(await is()); await pause(pauseMs)) {
      if (this.#child.exitCode !== null) throw new Error(`the agent has ended: ${this.#stderr}`)
      if (Date.now() > deadline) throw new Error(`${what}: not within ${withinMs} ms; it said: ${this.#stderr}`)
    }
  }

  async started(until: StartOptions['until'] = 'answering'): Promise<void> {
    const path = until === 'metrics' ? this.metricsPath : this.dataSocketPath
    await this.waitUntil(`"${path}" is there`, () => existsSync(path))
  }

  /** Calls it as the launcher does. */
  async call(
    verb: string,
    pod: Pod,
    config: object | string,
    { plugin = 'berth-macvlan', path = this.socketPath, ...options }: CallOptions & { path?: string } = {},
  ): Promise<AgentReply> {
    const stdin = typeof config === 'string' ? config : JSON.stringify(config)
    return await callAgent(path, { name: plugin, environment: this.#host.environment(verb, pod, options), stdin })
  }

  /** One of its pages; only with `metrics`. */
  async page(path: string): Promise<Fetched> {
    return await fetchOver(this.metricsPath, path)
  }

  async samples(): Promise<Map<string, number>> {
    return samplesOf((await this.page('/metrics')).body)
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Waits until it has ended, and returns its exit code; null when a signal killed it. */
  async ended(): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      await once(this.#child, 'exit', { signal: AbortSignal.timeout(stopWithinMs) })
    }
    return this.#child.exitCode
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.signal(signal)
    return await this.ended()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('SIGKILL')
    for (const name of ['agent.sock', 'agent.lock', 'warm']) {
      rmSync(`${this.#host.dataDir}/${name}`, { recursive: true, force: true })
    }
    rmSync(this.runDir, { recursive: true, force: true })
  }
}

/** Resolves once it is there; sweeps are off unless `args` say otherwise. */
export async function startAgent(host: Host, options: StartOptions = {}): Promise<RunningAgent> {
  const { args = [] } = options
  const swept = args.includes('--sweep-seconds') ? args : ['--sweep-seconds', '0', ...args]
  const agent = new RunningAgent(host, { ...options, args: swept })
  try {
    await agent.started(options.until)
    return agent
  } catch (error) {
    await agent[Symbol.asyncDispose]()
    throw error
  }
}
