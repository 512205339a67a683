/**
 * Files that a config names or that administrators write: unlike the store's own (shared/disk.ts), a symbolic link to one is
 * followed, as /etc/resolv.conf often is one, and what cannot be read is named with the reason.
 */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs'
import { CniError } from './cni/errors.ts'
import { pathUnder } from './host/under-root.ts'
import { messageOf } from './message.ts'

/** Why a file is not read: what it is instead of a file of at most `maxBytes`. Opening a device or a pipe may do something. */
function whyNot(stat: Stats, maxBytes: number): string | undefined {
  if (stat.isDirectory()) return 'it is a directory'
  if (!stat.isFile()) return 'it is not a regular file'
  return stat.size > maxBytes ? `it has ${stat.size} bytes, and at most ${maxBytes} are read` : undefined
}

/** The text, or why there is none. Files of /proc say that they have no bytes, and others grow: what is read counts. */
function readText(path: string, maxBytes: number): { readonly text: string } | { readonly why: string } {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  try {
    const why = whyNot(fstatSync(fd), maxBytes)
    if (why !== undefined) return { why }
    const bytes = Buffer.allocUnsafe(maxBytes + 1)
    let length = 0
    for (;;) {
      const read = readSync(fd, bytes, length, bytes.length - length, null)
      length += read
      if (length > maxBytes) return { why: `it has more than ${maxBytes} bytes` }
      if (read === 0) return { text: bytes.toString('utf8', 0, length) }
    }
  } finally {
    closeSync(fd)
  }
}

/**
 * The text of the file `path` under `root`, which messages introduce as `what`; undefined when there is none. Throws ERR_CONFIG when it is
 * no regular file of at most `maxBytes`, ERR_IO when reading it fails.
 */
export function readUserFile(what: string, path: string, maxBytes: number, root = ''): string | undefined {
  const refuse = (why: string): never => {
    throw new CniError('ERR_CONFIG', `Cannot read ${what} ${JSON.stringify(path)}: ${why}`)
  }
  if (path.includes('\0')) refuse('no file has such a name')
  try {
    const place = pathUnder(root, path)
    const stat = statSync(place, { throwIfNoEntry: false })
    if (stat === undefined) return undefined
    // Looked at before it is opened, and again afterwards: the name may have gone to another one.
    const why = whyNot(stat, maxBytes)
    const read = why === undefined ? readText(place, maxBytes) : { why }
    return 'text' in read ? read.text : refuse(read.why)
  } catch (error) {
    if (error instanceof CniError) throw error
    throw new CniError('ERR_IO', `Cannot read ${what} ${JSON.stringify(path)}: ${messageOf(error)}`, { cause: error })
  }
}
