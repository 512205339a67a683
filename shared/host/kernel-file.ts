/** Files of /proc/sys and /sys, which are read-only in a container that is not privileged. */
import { closeSync, constants, openSync, write as writeLater, writeSync } from 'node:fs'
import { isErrno } from '../disk.ts'
import { inThread } from '../in-thread.ts'

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

async function writeInThread(path: string, text: string): Promise<void> {
  const fd = openSync(path, constants.O_WRONLY)
  try {
    await inThread((done) => writeLater(fd, text, done))
  } finally {
    closeSync(fd)
  }
}

/** As writeKernelFile, for what the kernel takes seconds for: a process that serves others goes on meanwhile. */
export async function writeSlowKernelFile(path: string, text: string): Promise<void> {
  try {
    await writeInThread(path, text)
  } catch (error) {
    if (!isErrno(error, 'EROFS')) throw error
    await writeInThread(rootOfInit + path, text)
  }
}
