/** A data directory as a test sees it: copied with its hard links, and its names and records read without the store's help. */
import {
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
} from 'node:fs'
import { join } from 'node:path'

/** Copies a directory so that names of one file are names of one file again, and times are kept. */
export function copyDirectory(from: string, to: string, copies = new Map<number, string>()): void {
  mkdirSync(to, { mode: 0o700 })
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    if (entry.isDirectory()) {
      copyDirectory(source, target, copies)
      continue
    }
    const { ino, atime, mtime } = lstatSync(source)
    const earlier = copies.get(ino)
    if (earlier === undefined) copyFileSync(source, target)
    else linkSync(earlier, target)
    utimesSync(target, atime, mtime)
    copies.set(ino, earlier ?? target)
  }
}

/** All files below a directory, by their paths in it. */
export function filesOf(directory: string): string[] {
  if (!existsSync(directory)) return []
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}

export interface Name {
  readonly name: string
  readonly ino: number
  /** The texts of its file's lines that are JSON, checksums not looked at. */
  readonly records: readonly { containerId?: string; leases?: { address: string; space?: string }[] }[]
}

const isJson = (line: string): boolean => line.startsWith('{')

function recordsOf(path: string): Name['records'] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter(isJson)
    .flatMap((line) => {
      try {
        return [JSON.parse(line)]
      } catch {
        return []
      }
    })
}

export function namesOf(dataDir: string): Name[] {
  const leases = join(dataDir, 'leases')
  if (!existsSync(leases)) return []
  return readdirSync(leases)
    .sort()
    .map((name) => ({ name, ino: lstatSync(join(leases, name)).ino, records: recordsOf(join(leases, name)) }))
}

const isAddress = ({ name }: Name): boolean => !/^[.~]/.test(name) && !name.includes(',')

/** `10.0.0.7/24` in a space, as a file's name. */
const nameOf = ({ address, space }: { address: string; space?: string }): string =>
  `${address.split('/')[0]}${space === undefined ? '' : `@${space}`}`

/** Address names whose file has no record that names them, in words. */
export function strayAddresses(dataDir: string): string[] {
  return namesOf(dataDir)
    .filter(isAddress)
    .filter(({ name, records }) => !records.some(({ leases }) => leases?.some((lease) => nameOf(lease) === name)))
    .map(({ name }) => `"${name}" leads to no record that names it`)
}

/** The addresses that an attachment's name or a kept one's shares its file with. */
export function heldBy(dataDir: string, holder: string): string[] {
  const names = namesOf(dataDir)
  const ino = names.find(({ name }) => name === holder)?.ino
  return names.filter((one) => isAddress(one) && one.ino === ino).map(({ name }) => name)
}

/** Names that have to do with a container: its own, those being written, and addresses of its records that nobody keeps. */
export function namesOfContainer(dataDir: string, containerId: string): string[] {
  const names = namesOf(dataDir)
  const kept = new Set(names.filter(({ name }) => name.startsWith('~')).map(({ ino }) => ino))
  const inLeases = names
    .filter((one) => {
      if (isAddress(one)) return !kept.has(one.ino) && one.records.some((record) => record.containerId === containerId)
      return !one.name.startsWith('~') && one.name.split(',').includes(containerId)
    })
    .map(({ name }) => `leases/${name}`)
  const calls = join(dataDir, 'calls')
  return [
    ...inLeases,
    ...(existsSync(calls) ? readdirSync(calls).flatMap((name) => (name === '.locks' ? [] : [`calls/${name}`])) : []),
  ]
}
