/** Time for waits and durations. What a clock on the wall says is `Date`, and may jump. */

/**
 * Milliseconds since some moment, of a clock that only ever goes on. Not performance.now(): the first look at `performance`
 * loads its module, which takes a cold process most of a millisecond.
 */
export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6
