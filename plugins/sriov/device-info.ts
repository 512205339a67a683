/**
 * What the runtime is told of the device in a file of its own (Device Information Specification 1.1.0): Multus shows it in the pod's
 * network-status. Multus may have put there what the device plugin knows, which stays beside what is known here.
 */
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { CniError } from '../../shared/cni/errors.ts'
import { makeDirectory, replaceUnsynced } from '../../shared/disk.ts'
import { pathUnder } from '../../shared/host/under-root.ts'
import { log } from '../../shared/log.ts'
import { messageOf } from '../../shared/message.ts'
import { readUserFile } from '../../shared/user-file.ts'
import type { Device } from './device.ts'

const infoVersion = '1.1.0'
const infoMaxBytes = 64 * 1024

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** What is there already; nothing when it cannot be understood. */
function known(path: string, root: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readUserFile('device information', path, infoMaxBytes, root) ?? '{}')
    return isObject(value) ? value : {}
  } catch (error) {
    log('warn', `device information in "${path}" is replaced: ${messageOf(error)}`)
    return {}
  }
}

/** Whether the file is there, so that it is somebody else's to remove. */
export const hasDeviceInfo = (path: string, root: string): boolean => existsSync(pathUnder(root, path))

/** Writes or completes the file. Throws ERR_IO. */
export function writeDeviceInfo(path: string, root: string, { address, pf }: Device): void {
  const before = known(path, root)
  const pci = { ...(isObject(before.pci) ? before.pci : {}), 'pci-address': address }
  const info = {
    ...before,
    type: 'pci',
    version: infoVersion,
    pci: { ...pci, ...(pf === undefined ? {} : { 'pf-pci-address': pf.address }) },
  }
  try {
    const place = pathUnder(root, path)
    makeDirectory(dirname(place))
    replaceUnsynced(place, `${JSON.stringify(info)}\n`)
  } catch (error) {
    throw new CniError('ERR_IO', `Cannot write device information "${path}": ${messageOf(error)}`, { cause: error })
  }
}
