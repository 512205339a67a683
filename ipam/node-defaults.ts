/** The defaults that berth.conf has for all networks of the node (shared/node-config.ts), put where a config has nothing. */
import { statSync } from 'node:fs'
import { monotonicMs } from '../shared/clock.ts'
import { CniError } from '../shared/cni/errors.ts'
import { keyValue } from '../shared/cni/keys.ts'
import { messageOf } from '../shared/message.ts'
import { confDirs, type IpamDefaults, nodeConfigName, ownConfName, readNodeConfig } from '../shared/node-config.ts'
import { readUserFile } from '../shared/user-file.ts'

const fileMaxBytes = 64 * 1024
const files = Object.values(confDirs).map((folder) => `${folder}/${ownConfName}/${nodeConfigName}`)

function read(root: string): IpamDefaults | undefined {
  for (const path of files) {
    const text = readUserFile('the defaults in', path, fileMaxBytes, root)
    if (text === undefined) continue
    try {
      return readNodeConfig(JSON.parse(text))
    } catch (error) {
      const why = messageOf(error)
      throw new CniError('ERR_CONFIG', `Cannot use the defaults in "${path}": ${why}`, { cause: error })
    }
  }
  return undefined
}

/** What was read, or that there is nothing, holds this long: a process that answers many calls does not look in each. */
const freshForMs = 1000
let last: { readonly place: string; readonly sinceMs: number; readonly defaults: IpamDefaults | undefined } | undefined

/** A root directory by itself: that of each caller has another path. Inodes are used again, change times are not. */
function placeOf(root: string): string {
  if (root === '') return ''
  const { dev, ino, ctimeMs } = statSync(`${root}/`)
  return `${dev} ${ino} ${ctimeMs}`
}

function defaultsUnder(root: string): IpamDefaults | undefined {
  const place = placeOf(root)
  const nowMs = monotonicMs()
  if (last?.place === place && nowMs - last.sinceMs < freshForMs) return last.defaults
  const defaults = read(root)
  last = { place, sinceMs: nowMs, defaults }
  return defaults
}

/** The `ipam` object with the node's defaults for keys that it does not have. Throws ERR_CONFIG and ERR_IO that name the file. */
export function withNodeDefaults(ipam: unknown, root: string): unknown {
  const defaults = defaultsUnder(root)
  if (defaults === undefined || typeof ipam !== 'object' || ipam === null) return ipam
  const missing = Object.entries(defaults).filter(([key]) => keyValue(ipam, key) === undefined)
  return missing.length === 0 ? ipam : { ...ipam, ...Object.fromEntries(missing) }
}
