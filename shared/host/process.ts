/** Which process of which host this is, in words that another process, or another host, can hold against what it sees. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { isErrno } from '../disk.ts'
import { readBootId, readHostName, readMachineId } from './boot.ts'

export interface ProcessIdentity {
  readonly host: string
  /** /etc/machine-id, or '': two hosts of the same name are not the same. */
  readonly machine: string
  readonly bootId: string
  /** A process number means something within its namespace only: a container has its own. */
  readonly pidNamespace: string
  readonly pid: number
  /** In clock ticks since the boot. The number of a dead process is given again, with another start. */
  readonly startTime: string
}

/** Number and start of what /proc knows under that name; undefined when it is no process, or a zombie, which does nothing. */
function readStat(name: string): { pid: number; startTime: string } | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${name}/stat`, 'latin1')
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return undefined
    throw error
  }
  // proc_pid_stat(5): field 2 is a name in parentheses that may hold any character; 3 is the state, 22 the start.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state = '', startTime = ''] = [fields[0], fields[22 - 3]]
  return /[ZXx]/.test(state) ? undefined : { pid: Number.parseInt(stat, 10), startTime }
}

/** The start of a living process of our namespace; undefined when there is none of that number. */
export const processStartTime = (pid: number): string | undefined => readStat(String(pid))?.startTime

let own: ProcessIdentity | undefined

/** This process. Read once, when it is first needed. */
export function ownIdentity(): ProcessIdentity {
  if (own === undefined) {
    const stat = readStat('self')
    if (stat === undefined) throw new Error('Cannot read "/proc/self/stat": no such process')
    own = {
      host: readHostName(),
      machine: readMachineId(),
      bootId: readBootId(),
      pidNamespace: readlinkSync('/proc/self/ns/pid'),
      ...stat,
    }
  }
  return own
}

/** How many descriptors this process has open; the one that counts them is none of them. */
export const openDescriptors = (): number => readdirSync('/proc/self/fd').length - 1
