/**
 * The two clocks: one for waits and durations, and the one on the wall, which may jump.
 *
 * Nobody makes a `Date` in an ADD or a DEL: the first one of a process reads the time zone, and the C library and ICU their tables
 * of it, although UTC is all that is ever written.
 */

/**
 * Milliseconds since some moment, of a clock that only ever goes on. Not performance.now(): the first look at `performance`
 * loads its module, which takes a cold process most of a millisecond.
 */
export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6

/** A moment on the wall's clock. A `Date` is one. */
export interface Instant {
  /** Milliseconds since 1970-01-01 00:00 UTC. */
  getTime(): number
  /** As RFC 3339, in UTC: `2026-01-02T03:04:05.678Z`. */
  toISOString(): string
}

/** A moment from 1970 on, by arithmetic alone. */
export const instantAt = (timeMs: number): Instant => ({
  getTime: () => timeMs,
  toISOString: () => isoTime(timeMs),
})

export const wallClock = (): Instant => instantAt(Date.now())

const msPerDay = 86_400_000
const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
const daysOfYear = (year: number): number => (isLeap(year) ? 366 : 365)
const daysOfMonth = (year: number, month: number): number =>
  month === 2 ? daysOfYear(year) - 337 : [4, 6, 9, 11].includes(month) ? 30 : 31

const padded = (value: number, digits = 2): string => String(value).padStart(digits, '0')

/** The date of a day since 1970-01-01, by counting: there are some fifty years, and then twelve months. */
function isoDate(day: number): string {
  let [year, month, left] = [1970, 1, day]
  for (; left >= daysOfYear(year); year++) left -= daysOfYear(year)
  for (; left >= daysOfMonth(year, month); month++) left -= daysOfMonth(year, month)
  return `${padded(year, 4)}-${padded(month)}-${padded(left + 1)}`
}

function isoTime(timeMs: number): string {
  const day = Math.floor(timeMs / msPerDay)
  const ofDay = timeMs - day * msPerDay
  const part = (unitMs: number, count: number): number => Math.floor(ofDay / unitMs) % count
  const [hours, minutes, seconds] = [part(3_600_000, 24), part(60_000, 60), part(1000, 60)]
  return `${isoDate(day)}T${padded(hours)}:${padded(minutes)}:${padded(seconds)}.${padded(part(1, 1000), 3)}Z`
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
