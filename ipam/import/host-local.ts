/**
 * What the reference's host-local has given out on this node: `<dataDir>/<network>/<address>`, each with the container ID
 * and, since its 0.8, the interface.
 */
import { lstatSync, readdirSync } from 'node:fs'
import { parseIp } from '../../shared/address.ts'
import { readIfExists } from '../../shared/disk.ts'
import type { Found, Skipped } from './take-over.ts'

/** A container ID and an interface are far shorter. */
const fileMaxBytes = 4096
/** What old versions, which did not write it, always made. */
const legacyIfName = 'eth0'

interface HostLocal {
  readonly found: readonly Found[]
  readonly skipped: readonly Skipped[]
  /** Files without an interface's name, for which `eth0` is assumed. */
  readonly assumed: readonly string[]
}

/** One file; undefined when it is none of a lease. Pure. */
function parseHostLocal(
  name: string,
  content: string,
  network: string,
): (Found & { readonly assumed: boolean }) | Skipped | undefined {
  if (name === 'lock' || name.startsWith('last_reserved_ip.')) return undefined
  const ip = parseIp(name)
  if (ip === undefined) return { at: name, why: 'its name is not an address' }
  if (content.trim() === '') {
    return { at: name, why: 'it is empty: a killed host-local left it, and nobody can tell for whom' }
  }
  const [containerId = '', ifName, ...more] = content.trim().split(/\r?\n/)
  if (more.length > 0) return { at: name, why: 'it is not a container ID and an interface' }
  const key = { network, containerId: containerId.trim(), ifName: (ifName ?? legacyIfName).trim() }
  return { at: name, key, ip, assumed: ifName === undefined }
}

/** All of a network's folder. Throws the file system's errors. */
export function readHostLocal(directory: string, network: string): HostLocal {
  const found: Found[] = []
  const skipped: Skipped[] = []
  const assumed: string[] = []
  for (const name of readdirSync(directory)) {
    const path = `${directory}/${name}`
    const one = parseHostLocal(name, readIfExists(path, fileMaxBytes) ?? '', network)
    if (one === undefined) continue
    if ('why' in one) {
      skipped.push(one)
      continue
    }
    if (one.assumed) assumed.push(name)
    const since = lstatSync(path, { throwIfNoEntry: false })?.mtime
    found.push({ ...one, ...(since === undefined ? {} : { since: since.toISOString() }) })
  }
  return { found, skipped, assumed }
}
