/**
 * Log lines on standard error, never on standard output: that carries the one JSON of the CNI protocol.
 * The door sets the level once; everybody else only writes.
 */

import { writeSync } from 'node:fs'
import { monotonicMs } from './clock.ts'

const levels = ['error', 'warn', 'info', 'debug'] as const
type LogLevel = (typeof levels)[number]

/** A longer line is cut: a hostile config must not flood the runtime's log. */
const lineMaxChars = 2000

let threshold: LogLevel = 'warn'

/** Sets the most talkative level that is written; an unknown name leaves the level as it is. */
export function setLogLevel(name: string | undefined): void {
  const level = levels.find((candidate) => candidate === name)
  if (level !== undefined) threshold = level
}

export const logEnabled = (level: LogLevel): boolean => levels.indexOf(level) <= levels.indexOf(threshold)

export function log(level: LogLevel, message: string): void {
  if (!logEnabled(level)) return
  // \p{Cc}: a line break or an escape sequence in a value must not forge a line or colour a terminal.
  const line = message.replace(/\p{Cc}/gu, ' ').slice(0, lineMaxChars)
  try {
    writeSync(2, `berth: ${level}: ${line}\n`)
  } catch {
    // A closed or full standard error must not fail a CNI call; there is no second place to complain to.
  }
}

/** As timed(), for a step that waits for nothing. */
export function timedNow<T>(step: string, work: () => T): T {
  const start = monotonicMs()
  try {
    return work()
  } finally {
    log('debug', `step ${step}: ${(monotonicMs() - start).toFixed(3)} ms`)
  }
}

/** Runs one step of a call; at level debug a line says how long it took, in milliseconds. */
export async function timed<T>(step: string, work: () => T | Promise<T>): Promise<T> {
  const start = monotonicMs()
  try {
    return await work()
  } finally {
    log('debug', `step ${step}: ${(monotonicMs() - start).toFixed(3)} ms`)
  }
}
