/**
 * Processes that race for one lock while they are killed and stopped at random moments: never are two inside, and the next
 * one gets in at once. BERTH_TEST_LONG=1 races for longer, and between hosts too.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { openSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { buildSync } from 'esbuild'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryDirectory } from '../shared/temporary.ts'
import { judge, lastInside, lineCount, note, type Verdict } from './race.ts'

const long = process.env.BERTH_TEST_LONG === '1'
const racersMax = 8

interface Race {
  readonly kind: 'kernel' | 'shared'
  /** Acquisitions and kills that there must be before the race is over. */
  readonly acquisitions: number
  readonly kills: number
  /** Every racer is a host of its own, and is taken for dead after this; or all are on this one. */
  readonly silentMaxMs?: number
}

interface Outcome extends Verdict {
  readonly kills: number
  readonly stops: number
  /** How racers ended that were not killed by us. */
  readonly ended: unknown[]
  readonly names: string[]
}

class Racers {
  readonly log: number
  readonly ended: unknown[] = []
  readonly #args: (id: number) => string[]
  readonly #running = new Map<number, ChildProcess>()
  #count = 0

  constructor(program: string, directory: string, { kind, silentMaxMs }: Race) {
    const path = `${directory}/log`
    this.log = openSync(path, 'a+')
    const host = (id: number): string[] => (silentMaxMs === undefined ? [] : [`host-${id}`, String(silentMaxMs)])
    this.#args = (id) => ['--no-warnings', program, kind, `${directory}/lock`, path, String(id), ...host(id)]
  }

  fill(): void {
    while (this.#running.size < racersMax) {
      const id = ++this.#count
      const child = spawn(process.execPath, this.#args(id), { stdio: ['ignore', 'ignore', 'inherit'] })
      this.#running.set(id, child)
      child.on('exit', (...how) => {
        if (this.#running.delete(id)) this.ended.push([id, ...how])
      })
    }
  }

  /** Mostly who is inside now, for that is where it hurts; or anybody, wherever in the protocol that one is. */
  pick(): number {
    const ids = [...this.#running.keys()]
    const inside = Math.random() < 0.7 ? lastInside(this.log) : undefined
    if (inside !== undefined && this.#running.has(inside)) return inside
    return ids[Math.floor(Math.random() * ids.length)] ?? 0
  }

  kill(id: number): void {
    note(this.log, 'k', id)
    const child = this.#running.get(id)
    this.#running.delete(id)
    child?.kill('SIGKILL')
  }

  signal(id: number, signal: NodeJS.Signals): void {
    this.#running.get(id)?.kill(signal)
  }

  end(): void {
    for (const id of [...this.#running.keys()]) this.kill(id)
  }
}

async function run(race: Race): Promise<Outcome> {
  const directory = temporaryDirectory()
  const program = join(directory, 'racer.cjs')
  const entryPoints = [join(import.meta.dirname, 'racer.ts')]
  buildSync({ entryPoints, outfile: program, bundle: true, platform: 'node', format: 'cjs', logLevel: 'error' })
  const racers = new Racers(program, directory, race)
  onTestFinished(() => racers.end())
  let [kills, stops] = [0, 0]
  for (racers.fill(); lineCount(racers.log) - kills < race.acquisitions * 2 || kills < race.kills; racers.fill()) {
    await pause(5 + Math.random() * 20)
    const id = racers.pick()
    // While it is stopped nobody may take its place; a killed one may have been stopped before.
    if (race.silentMaxMs === undefined && Math.random() < 0.5) {
      stops++
      racers.signal(id, 'SIGSTOP')
      await pause(2 + Math.random() * 10)
      if (Math.random() < 0.5) racers.signal(id, 'SIGCONT')
      else {
        kills++
        racers.kill(id)
      }
    } else if (lineCount(racers.log) > 0) {
      kills++
      racers.kill(id)
    }
    if (racers.ended.length > 0) break
    if (race.silentMaxMs !== undefined) await pause(race.silentMaxMs * 1.2)
  }
  racers.end()
  // Killed processes write nothing more as soon as they are seen to be gone; their last lines may be in the making.
  await pause(100)
  const names = readdirSync(directory).filter((name) => !['log', 'racer.cjs'].includes(name))
  return { ...judge(readFileSync(`${directory}/log`, 'latin1')), kills, stops, ended: racers.ended, names }
}

const quantile = (values: readonly number[], part: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? Number.NaN

function report(name: string, { acquisitions, kills, stops, doubles, handOversMs, names }: Outcome): void {
  const [p50, p99] = [0.5, 0.99].map((part) => quantile(handOversMs, part).toFixed(1))
  process.stdout.write(
    `lock ${name}: ${acquisitions} acquisitions, ${kills} kills, ${stops} stops, ${doubles.length} double holders; ` +
      `hand-over after ${handOversMs.length} kills p50 ${p50} ms, p99 ${p99} ms; left: ${names.length} files\n`,
  )
}

const size = long ? { acquisitions: 100_000, kills: 300 } : { acquisitions: 5000, kills: 40 }
/** What proper-lockfile by itself makes the next one wait at least. */
const staleGuessMs = 2000

test.each(['kernel', 'shared'] as const)(
  'withLock() of kind %s lets one in at a time when holders are killed and stopped',
  {
    timeout: long ? 900_000 : 60_000,
  },
  async (kind) => {
    const outcome = await run({ kind, ...size })
    report(kind, outcome)
    expect([outcome.doubles, outcome.ended]).toEqual([[], []])
    expect(outcome.handOversMs.length).toBeGreaterThan(0)
    expect(quantile(outcome.handOversMs, 0.5)).toBeLessThan(staleGuessMs / 4)
  },
)

test.runIf(long)('withLock() of kind shared lets one in at a time when hosts die', { timeout: 900_000 }, async () => {
  const outcome = await run({ kind: 'shared', acquisitions: 20_000, kills: 30, silentMaxMs: 1500 })
  report('shared between hosts', outcome)
  expect([outcome.doubles, outcome.ended]).toEqual([[], []])
  expect(Math.min(...outcome.handOversMs)).toBeGreaterThanOrEqual(1400)
})
