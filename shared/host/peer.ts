/** Who is at the other end of a unix socket (SO_PEERCRED, unix(7)), and where it sees its files. */
import { readlinkSync, statSync } from 'node:fs'
import { checkedCall } from './libc.ts'

const SOL_SOCKET = 1
const SO_PEERCRED = 17

/** As the kernel saw it when it connected; `pid` is 0 when it is in a PID namespace that is not ours or below it. */
export interface Peer {
  readonly pid: number
  readonly uid: number
}

/** Throws SystemError. */
export function peerOf(fd: number): Peer {
  // struct ucred: pid, uid, gid.
  const credentials = Buffer.alloc(12)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(credentials.length)
  checkedCall('getsockopt', fd, SOL_SOCKET, SO_PEERCRED, credentials, length)
  return { pid: credentials.readInt32LE(0), uid: credentials.readUInt32LE(4) }
}

const rootOf = (process: string): string => {
  const { dev, ino } = statSync(`/proc/${process}/root/`)
  return `${readlinkSync(`/proc/${process}/ns/mnt`)} ${dev} ${ino}`
}

let own: string | undefined

/** What leads from our root directory to that of a process: '' when they are the same. Throws when the process is gone. */
export function pathToRoot({ pid }: Peer): string {
  own ??= rootOf('self')
  return rootOf(String(pid)) === own ? '' : `/proc/${pid}/root`
}
