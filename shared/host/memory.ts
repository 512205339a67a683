/** The memory of this process. */
import { readFileSync } from 'node:fs'
import { checkedCall } from './libc.ts'

const MADV_DONTNEED = 4

/** A mapping of proc_pid_smaps(5) that is a file's, cannot be written to, and has no page of its own. */
const unwritten = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ [1-9]\d* +\/.*\n(?:[A-Z].*\n)*?Anonymous: +0 kB$/gm

/**
 * Lets go of the pages of files that were mapped because something beside them was needed, most of it while the process started.
 * They stay in the page cache, and what is used again is mapped again.
 */
export function dropFilePages(): void {
  for (const [, start = '', end = ''] of readFileSync('/proc/self/smaps', 'latin1').matchAll(unwritten)) {
    const [from, to] = [Number.parseInt(start, 16), Number.parseInt(end, 16)]
    checkedCall('madvise', from, to - from, MADV_DONTNEED)
  }
}
