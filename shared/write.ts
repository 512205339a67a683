/** Writing all of a text to a descriptor that may take it in pieces: a pipe with a slow reader. */

import { writeSync } from 'node:fs'
import { monotonicMs } from './clock.ts'
import { isErrno } from './disk.ts'

/** A reader that takes nothing for this long is gone for us. */
const stalledMaxMs = 10_000
const pauseMs = 1

/** Writes everything, waiting while a non-blocking pipe is full. Throws when the reader takes nothing for ten seconds. */
export function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text)
  let stalledSince = monotonicMs()
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(fd, bytes, done)
      stalledSince = monotonicMs()
    } catch (error) {
      if (!isErrno(error, 'EAGAIN') || monotonicMs() - stalledSince > stalledMaxMs) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs)
    }
  }
}
