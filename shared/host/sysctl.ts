/**
 * Network sysctls. /proc/sys/net shows the namespace of the thread that opens a file there, so these are called with
 * the thread inside the pod's namespace (insideNetns) and stay synchronous.
 */

import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { isErrno } from '../disk.ts'
import { log } from '../log.ts'
import { messageOf } from '../message.ts'

/** Where /proc/sys may be written to: in most containers ours is read-only, while that of process 1, if it is the node's, is not. */
const places = ['', '/proc/1/root']

function write(path: string, value: string): void {
  const fd = openSync(path, constants.O_WRONLY)
  try {
    writeSync(fd, value)
  } finally {
    closeSync(fd)
  }
}

/**
 * Sets `net/<name>` where that can be done. A kernel without it (IPv6 switched off at boot) is silence, a read-only
 * /proc/sys a warning: what an attachment cannot do without, an address say, the kernel refuses in its own words.
 */
export function setNetSysctl(name: string, value: string): void {
  for (const place of places) {
    try {
      write(`${place}/proc/sys/net/${name}`, value)
      return
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return
      if (isErrno(error, 'EROFS') && place !== places.at(-1)) continue
      log('warn', `cannot set sysctl "net/${name}" to ${value}: ${messageOf(error)}`)
      return
    }
  }
}
