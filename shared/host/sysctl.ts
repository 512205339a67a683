/**
 * Network sysctls. /proc/sys/net shows the namespace of the thread that opens a file there, so these are called with
 * the thread inside the pod's namespace (insideNetns) and stay synchronous.
 */

import { isErrno } from '../disk.ts'
import { log } from '../log.ts'
import { messageOf } from '../message.ts'
import { writeKernelFile } from './kernel-file.ts'

/**
 * Sets `net/<name>` where that can be done. A kernel without it (IPv6 switched off at boot) is silence, a read-only
 * /proc/sys a warning: what an attachment cannot do without, an address say, the kernel refuses in its own words.
 */
export function setNetSysctl(name: string, value: string): void {
  try {
    writeKernelFile(`/proc/sys/net/${name}`, value)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return
    log('warn', `cannot set sysctl "net/${name}" to ${value}: ${messageOf(error)}`)
  }
}
