/**
 * The config drive of an OpenStack instance: a disk labelled `config-2`, with an ISO 9660 or a FAT file system. It is read without being
 * mounted anywhere: the mount hangs on a descriptor alone (fsmount(2), Linux 5.2), and is gone with it.
 */
import { closeSync, constants, openSync, readdirSync, readFileSync, readSync } from 'node:fs'
import { CniError } from '../cni/errors.ts'
import { isErrno } from '../disk.ts'
import { log } from '../log.ts'
import { messageOf } from '../message.ts'
import { mountDetached, SystemError } from './libc.ts'
import { pathUnder } from './under-root.ts'

const label = 'config-2'
const sectorBytes = 2048
/** ECMA-119: the first volume descriptor is in sector 16, its name at byte 40 of it. */
const isoDescriptor = { at: 16 * sectorBytes, mark: 'CD001', markAt: 1, nameAt: 40, nameBytes: 32 }
/** Where the boot sector of FAT12 and FAT16, and that of FAT32, say what they are, and the 11 bytes of the name before it. */
const fatMarks = [
  { markAt: 54, nameAt: 43 },
  { markAt: 82, nameAt: 71 },
]
const fatNameBytes = 11

type FileSystem = 'iso9660' | 'vfat'

interface Drive {
  /** As this process reaches it. */
  readonly path: string
  readonly type: FileSystem
}

const textAt = (bytes: Buffer, at: number, count: number): string => bytes.toString('latin1', at, at + count)
/** FAT has no small letters in the names of other systems. */
const isLabel = (text: string): boolean => text.replace(/[ \0]+$/, '').toLowerCase() === label

/**
 * The file system that the first sectors of a disk are of, if it has the label, or if whoever asks knows that it has; undefined when that
 * is another one. Pure.
 */
export function typeOfDrive(head: Buffer, isLabelled = false): FileSystem | undefined {
  const { at, mark, markAt, nameAt, nameBytes } = isoDescriptor
  const has = (nameFrom: number, bytes: number): boolean => isLabelled || isLabel(textAt(head, nameFrom, bytes))
  if (textAt(head, at + markAt, mark.length) === mark) return has(at + nameAt, nameBytes) ? 'iso9660' : undefined
  const isFat = fatMarks.some((fat) => textAt(head, fat.markAt, 3) === 'FAT' && has(fat.nameAt, fatNameBytes))
  return isFat ? 'vfat' : undefined
}

/** What a container is told that may not open the disks of its node. */
const refusals = ['EPERM', 'EACCES']

const unreadable = (what: string, path: string, error: unknown): CniError =>
  new CniError('ERR_IO', `Cannot ${what} "${path}": ${messageOf(error)}`, { cause: error })

/** Whether a config drive could not be read because this process may not: another one may. */
export const isRefusal = (error: unknown): boolean => error instanceof CniError && isErrno(error.cause, ...refusals)

/** The first sectors of a disk. Throws what open(2) and read(2) fail with. */
function readHead(path: string): Buffer {
  const head = Buffer.alloc(isoDescriptor.at + sectorBytes)
  // Not to wait for a drive without a medium.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    readSync(fd, head, 0, head.length, 0)
  } finally {
    closeSync(fd)
  }
  return head
}

/** The disk that udev has found the label on. Throws ERR_IO when it cannot be read. */
function driveByLabel(root: string): Drive | undefined {
  for (const name of [label, label.toUpperCase()]) {
    const path = pathUnder(root, `/dev/disk/by-label/${name}`)
    try {
      const type = typeOfDrive(readHead(path), true)
      if (type !== undefined) return { path, type }
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) continue
      throw unreadable('read the config drive', path, error)
    }
  }
  return undefined
}

/** The disks and partitions that the kernel has, by their names in /dev. */
function blockDevices(): string[] {
  const folder = '/sys/class/block'
  return readdirSync(folder).flatMap((name) => {
    const isEmpty = readFileSync(`${folder}/${name}/size`, 'latin1').trim() === '0'
    const node = /^DEVNAME=(.+)$/m.exec(readFileSync(`${folder}/${name}/uevent`, 'latin1'))?.[1]
    return isEmpty || node === undefined ? [] : [node]
  })
}

/** Where there is no udev: the disk that has the label. One that cannot be read has not, but one that may not be read could be it. */
function driveByContent(root: string): Drive | undefined {
  let refused: CniError | undefined
  for (const node of blockDevices()) {
    const path = pathUnder(root, `/dev/${node}`)
    try {
      const type = typeOfDrive(readHead(path))
      if (type !== undefined) return { path, type }
    } catch (error) {
      if (isErrno(error, ...refusals)) refused ??= unreadable('look for the config drive on', path, error)
      else log('debug', `"${path}" is no config drive: ${messageOf(error)}`)
    }
  }
  if (refused !== undefined) throw refused
  return undefined
}

/**
 * Calls `work` with a folder in which the files of the config drive are meanwhile; undefined when there is no such drive. Disks are
 * those in /dev under `root`. Throws ERR_IO when it cannot be read.
 */
export function insideConfigDrive<T>(root: string, work: (folder: string) => T): T | undefined {
  const drive = driveByLabel(root) ?? driveByContent(root)
  if (drive === undefined) return undefined
  let fd: number
  try {
    fd = mountDetached(drive.type, drive.path)
  } catch (error) {
    if (!(error instanceof SystemError)) throw error
    throw new CniError('ERR_IO', `Cannot read the config drive "${drive.path}" as ${drive.type}: ${error.message}`, {
      cause: error,
    })
  }
  try {
    return work(`/proc/self/fd/${fd}`)
  } finally {
    closeSync(fd)
  }
}
