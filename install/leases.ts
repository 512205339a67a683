/** The data directory, which an uninstallation removes only when it is told to. */
import { readdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { isErrno, removeDirectory } from '../shared/disk.ts'
import { statOf } from './files.ts'

const namesIn = (folder: string): string[] => (statOf(folder)?.isDirectory() ? readdirSync(folder) : [])

/** Attachments that hold an address or a VF; what is kept for a pod that may come back is none (ipam/FORMAT.md, vf/FORMAT.md). */
function heldIn(dataDir: string): string[] {
  const attachments = namesIn(join(dataDir, 'leases')).filter((name) => /^[^~.].*,.*,/.test(name))
  const devices = namesIn(join(dataDir, 'vf')).filter((name) => !name.startsWith('.'))
  return [...attachments.map((name) => name.replaceAll(',', '/')), ...devices]
}

/** Throws an Error unless there is a data directory that nobody needs any more. */
export function checkLeases(dataDir: string, force: boolean): void {
  const refuse = (why: string): never => {
    throw new Error(`Cannot remove the leases in "${dataDir}": ${why}`)
  }
  if (statOf(dataDir) === undefined) {
    refuse('there is no such directory (--data-dir names it; in a pod it must be mounted there)')
  }
  const [first, ...others] = heldIn(dataDir)
  if (first === undefined || force) return
  refuse(
    `"${first}" ${others.length > 0 ? `and ${others.length} more are` : 'is'} held (--force removes them all the same)`,
  )
}

/** All that is in it, and the directory unless something is mounted there. */
export function removeLeases(dataDir: string): void {
  for (const name of namesIn(dataDir)) removeDirectory(join(dataDir, name))
  try {
    rmdirSync(dataDir)
  } catch (error) {
    if (!isErrno(error, 'EBUSY', 'EROFS', 'ENOTEMPTY')) throw error
  }
}
