/** What the measurements of the agent stand on: an agent in a folder, pods to attach, and calls timed from outside. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type Program, timeStarts } from './launcher.ts'
import type { Samples } from './measure.ts'

export const ours = join(import.meta.dirname, '..', 'dist', 'cni')
export const peers = '/usr/lib/cni'

/** A folder with an agent in it; both go at the end. */
export class Served implements AsyncDisposable {
  readonly dataDir = mkdtempSync(join(tmpdir(), 'berth-agent-'))
  readonly #log = join(this.dataDir, 'agent.log')
  #agent: ChildProcess | undefined

  async start(logLevel = 'warn'): Promise<void> {
    const fd = openSync(this.#log, 'a')
    const args = ['agent', '--run-dir', join(this.dataDir, 'run'), '--data-dir', this.dataDir]
    const env = { ...process.env, BERTH_LOG: logLevel }
    this.#agent = spawn(join(ours, 'berth'), args, { stdio: ['ignore', fd, fd], env })
    closeSync(fd)
    while (!existsSync(join(this.dataDir, 'agent.sock'))) {
      if (this.#agent.exitCode !== null) throw new Error(`the agent does not start: ${this.log()}`)
      await pause(10)
    }
  }

  log(): string {
    return readFileSync(this.#log, 'utf8')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#agent?.kill('SIGTERM') === true) await once(this.#agent, 'exit')
    rmSync(this.dataDir, { recursive: true, force: true })
  }
}

/** The network namespaces of so many pods, made in this mount namespace. `path` leads to one, with `%j` for its number. */
export class Pods implements Disposable {
  readonly #prefix = `berth-crowd-${process.pid}-`
  readonly #count: number
  readonly path = `/run/netns/${this.#prefix}%j`

  constructor(count: number) {
    this.#count = count
    this.#each('add')
  }

  #each(verb: 'add' | 'del'): void {
    for (let index = 0; index < this.#count; index++) spawnSync('ip', ['netns', verb, `${this.#prefix}${index}`])
  }

  pathOf(index: number): string {
    return this.path.replace('%j', String(index))
  }

  [Symbol.dispose](): void {
    this.#each('del')
  }
}

export interface Timed {
  readonly name: string
  readonly program: Program
}

export interface Called {
  readonly path: string
  /** CNI_NETNS. */
  readonly netns: string
  readonly dataDir: string
  readonly config: object
}

/** An ADD and a DEL of the same attachment, timed as `<who> ADD <what>`; the child's number is in the container's ID. */
export function addAndDel(who: string, what: string, { path, netns, dataDir, config }: Called): Timed[] {
  const input = join(dataDir, `${who} ${what}`)
  writeFileSync(input, JSON.stringify({ cniVersion: '1.0.0', ...config }))
  const call = { CNI_CONTAINERID: 'bench-%j', CNI_NETNS: netns, CNI_IFNAME: 'net1', CNI_PATH: peers }
  return ['ADD', 'DEL'].map((verb) => ({
    name: `${who} ${verb} ${what}`,
    program: { path, input, environment: { CNI_COMMAND: verb, BERTH_DATA_DIR: dataDir, ...call } },
  }))
}

/** Times them in turn; answers the median of each one's calls a second, by name. */
export function timeInTurn(
  samples: Samples,
  spawner: string,
  timed: readonly Timed[],
  rounds: number,
  atOnce = 1,
): Map<string, number> {
  const programs = timed.map(({ program }) => program)
  const times = timeStarts(spawner, programs, rounds, atOnce)
  return new Map(
    timed.map(({ name }, index): [string, number] => {
      for (const ms of times[index]?.each ?? []) samples.add(name, ms)
      const rates = (times[index]?.rounds ?? []).map((ms) => (atOnce * 1000) / ms).sort((a, b) => a - b)
      return [name, rates[Math.floor(rates.length / 2)] ?? Number.NaN]
    }),
  )
}

/** The interface index of a link of this namespace. */
export function indexOf(link: string): string {
  const [found]: { ifindex: number }[] = JSON.parse(
    execFileSync('ip', ['-json', 'link', 'show', link], { encoding: 'utf8' }),
  )
  return String(found?.ifindex)
}
