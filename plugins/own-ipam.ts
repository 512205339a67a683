/**
 * An `ipam.type` that is another IPAM's name, and ours where our IPAM is installed under it (shared/aliases.ts). Whose it is the folder
 * tells that the plugin would be executed from: ours is a symbolic link to `berth-ipam`, or to the installer's copy of it, and beside the real
 * one nothing changes.
 */
import { readlinkSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { ipamType } from '../ipam/index.ts'
import { linkTarget, ownName } from '../shared/aliases.ts'
import type { Request } from '../shared/cni/request.ts'
import { isErrno } from '../shared/disk.ts'
import { pathUnder } from '../shared/host/under-root.ts'

/** Whether a link of this name in the folder leads to our IPAM. A copy that somebody else's installer has written over is theirs. */
function leadsToOurs(folder: string, type: string): boolean {
  const target = readlinkSync(`${folder}/${type}`)
  if (basename(target) === ipamType) return true
  if (target !== linkTarget(type)) return false
  const [copy, ours] = [target, linkTarget(ipamType)].map((name) => statSync(`${folder}/${name}`).size)
  return copy === ours
}

/** Whether the first file of this name in the folders is a link to our IPAM. */
function isOurs(type: string, folders: readonly string[], root: string): boolean {
  for (const folder of folders) {
    try {
      return leadsToOurs(pathUnder(root, folder), type)
    } catch (error) {
      // In the next one, maybe. What is there and no link (EINVAL), or cannot be looked at, is somebody else's.
      if (!isErrno(error, 'ENOENT', 'ENOTDIR')) return false
    }
  }
  return false
}

/** The request, with our IPAM's name where its `ipam.type` is an alias of it. `raw` keeps the name that was written: it says the dialect. */
export function withOwnIpam(request: Request, root: string): Request {
  const { ipam } = request.config
  const type = ipam?.type
  if (type === undefined || type === ipamType || ownName(type) !== ipamType) return request
  if (!isOurs(type, request.pluginPath, root)) return request
  return Object.freeze({ ...request, config: { ...request.config, ipam: { ...ipam, type: ipamType } } })
}
