/** Paths as a process with another root directory sees them. */
import { readlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { isErrno } from '../disk.ts'

/** As many as the kernel follows (path_resolution(7)). */
const linksMax = 40
/** What /proc says of a namespace: text for people, which only the kernel can follow. */
const magicLink = /^[a-z_]+:\[[0-9]+\]$/

const namesIn = (path: string): string[] => path.split('/').filter((name) => name !== '' && name !== '.')

/** What a symbolic link says; undefined for anything else, or nothing. */
function targetOf(path: string): string | undefined {
  try {
    const target = readlinkSync(path)
    return magicLink.test(target) ? undefined : target
  } catch (error) {
    if (isErrno(error, 'EINVAL', 'ENOENT', 'ENOTDIR', 'ENAMETOOLONG')) return undefined
    throw error
  }
}

/**
 * Where a path leads when `root` is the root directory; '' is our own. A symbolic link to an absolute path, as /var/run is one on many
 * nodes, leads on from there, while the kernel would go on from our root. Throws what readlink(2) fails with.
 */
export function pathUnder(root: string, path: string): string {
  if (root === '') return path
  const left = namesIn(path)
  let done = root
  let links = 0
  for (let name = left.shift(); name !== undefined; name = left.shift()) {
    if (name === '..') {
      done = done === root ? root : dirname(done)
      continue
    }
    const next = `${done}/${name}`
    const target = links < linksMax ? targetOf(next) : undefined
    if (target === undefined) {
      done = next
      continue
    }
    links++
    if (target.startsWith('/')) done = root
    left.unshift(...namesIn(target))
  }
  return done
}
