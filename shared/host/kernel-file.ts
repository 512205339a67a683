/** Files of /proc/sys and /sys, which are read-only in a container that is not privileged. */
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { isErrno } from '../disk.ts'

/** Where process 1 sees its files: where that is the node's, its /proc/sys and /sys may be written to. */
export const rootOfInit = '/proc/1/root'

function write(path: string, text: string): void {
  const fd = openSync(path, constants.O_WRONLY)
  try {
    writeSync(fd, text)
  } finally {
    closeSync(fd)
  }
}

/** Writes a text into a file of the kernel. Throws what open(2) and write(2) fail with. */
export function writeKernelFile(path: string, text: string): void {
  try {
    write(path, text)
  } catch (error) {
    if (!isErrno(error, 'EROFS')) throw error
    write(rootOfInit + path, text)
  }
}
