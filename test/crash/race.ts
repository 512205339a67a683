/**
 * The log of a race for a lock, and what it says. Lines are appended in one write each, so their order is the order of
 * things: `+` and `-` by who is inside, between taking and giving back, and `k` by the killer, before it kills. The lock is
 * judged by this alone, and not by what the lock itself goes by.
 */
import { fstatSync, readSync, writeSync } from 'node:fs'

export type Mark = '+' | '-' | 'k'

const idChars = 8
const timeChars = 20
const lineBytes = '+ '.length + idChars + ' '.length + timeChars + '\n'.length

/** The clock is the same for all processes of a host (CLOCK_MONOTONIC), in nanoseconds. */
export function note(fd: number, mark: Mark, id: number): void {
  writeSync(fd, `${mark} ${String(id).padStart(idChars)} ${String(process.hrtime.bigint()).padStart(timeChars)}\n`)
}

export interface Line {
  readonly mark: Mark
  readonly id: number
  readonly timeMs: number
}

function parse(line: string): Line {
  const [mark, id, time] = line.split(/ +/)
  if (mark !== '+' && mark !== '-' && mark !== 'k') throw new Error(`the log has a line that nobody wrote: "${line}"`)
  return { mark, id: Number(id), timeMs: Number(time) / 1e6 }
}

export const lineCount = (fd: number): number => Math.floor(fstatSync(fd).size / lineBytes)

/** Who was inside when the last line was written, if somebody was. */
export function lastInside(fd: number): number | undefined {
  const bytes = Buffer.alloc(lineBytes)
  const count = lineCount(fd)
  if (count === 0) return undefined
  readSync(fd, bytes, 0, lineBytes, (count - 1) * lineBytes)
  const { mark, id } = parse(bytes.toString().trimEnd())
  return mark === '+' ? id : undefined
}

export interface Verdict {
  readonly acquisitions: number
  /** Descriptions of moments when two were inside. */
  readonly doubles: string[]
  /** From the kill of who was inside to the next one's entry. */
  readonly handOversMs: number[]
}

/** Who is inside leaves before the next enters, or was killed before that and does nothing afterwards. */
export function judge(text: string): Verdict {
  const killedMs = new Map<number, number>()
  const gone = new Set<number>()
  const doubles: string[] = []
  const handOversMs: number[] = []
  let acquisitions = 0
  let inside: number | undefined
  text
    .trimEnd()
    .split('\n')
    .map(parse)
    .forEach(({ mark, id, timeMs }, index) => {
      if (mark === 'k') {
        killedMs.set(id, timeMs)
        return
      }
      if (gone.has(id)) doubles.push(`line ${index}: ${id} is still there`)
      if (mark === '-') {
        if (inside !== id) doubles.push(`line ${index}: ${id} leaves while ${inside} is inside`)
        else inside = undefined
        return
      }
      acquisitions++
      if (inside !== undefined) {
        const killed = killedMs.get(inside)
        if (killed === undefined) doubles.push(`line ${index}: ${id} enters while ${inside} is inside`)
        else handOversMs.push(timeMs - killed)
        gone.add(inside)
      }
      inside = id
    })
  return { acquisitions, doubles, handOversMs }
}
