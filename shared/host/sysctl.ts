/**
 * Network sysctls. /proc/sys/net shows the namespace of the thread that opens a file there, so these are called with
 * the thread inside the pod's namespace (insideNetns) and stay synchronous.
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { isErrno } from '../disk.ts'

/** Sets `net/<name>`; false when this kernel, or this namespace, has no such sysctl (IPv6 switched off at boot, say). */
export function setNetSysctl(name: string, value: string): boolean {
  let fd: number
  try {
    fd = openSync(`/proc/sys/net/${name}`, constants.O_WRONLY)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false
    throw error
  }
  try {
    writeSync(fd, value)
    return true
  } finally {
    closeSync(fd)
  }
}
