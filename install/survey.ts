/** What an installer finds: nothing is changed by looking. */
import { readdirSync, readFileSync, readlinkSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { isErrno } from '../shared/disk.ts'
import { passing, sha256Of, statOf } from './files.ts'
import {
  currentName,
  type FileSet,
  isOwnTarget,
  lockName,
  ownFolder,
  replacedName,
  sumsName,
  sumsOf,
} from './layout.ts'

/** Who has a name in the folder of plugins. `copy`: a file with the content of ours. */
export type Occupant =
  | { readonly kind: 'absent' | 'copy' | 'foreign' | 'directory' }
  | { readonly kind: 'ours'; readonly target: string }

interface Version {
  readonly id: string
  /** Since something was changed in it, or another took its place. */
  readonly idleMs: number
}

export interface Survey {
  readonly binDirThere: boolean
  /** The version that `current` says. */
  readonly current: string | undefined
  readonly versions: readonly Version[]
  /** The files of the wished version that are there as they must be. */
  readonly good: ReadonlySet<string>
  /** Of every name that is wished or ours. */
  readonly occupants: ReadonlyMap<string, Occupant>
  /** Names of which somebody's file is kept. */
  readonly replaced: ReadonlySet<string>
  /** What an interrupted installer has left, in our folder. */
  readonly leftovers: readonly string[]
  readonly freeBytes: number
  /** The files of the folder of configs that are there, by name, with their text. */
  readonly configs: ReadonlyMap<string, string>
}

const entriesOf = (folder: string): string[] => (statOf(folder)?.isDirectory() ? readdirSync(folder) : [])

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch (error) {
    if (isErrno(error, 'EINVAL', 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  }
}

function occupantOf(path: string, own: { bytes: number; sha256: string } | undefined): Occupant {
  const stat = statOf(path)
  if (stat === undefined) return { kind: 'absent' }
  if (stat.isDirectory()) return { kind: 'directory' }
  const target = linkOf(path)
  if (target !== undefined) return isOwnTarget(target) ? { kind: 'ours', target } : { kind: 'foreign' }
  const same = stat.isFile() && own !== undefined && Number(stat.size) === own.bytes && sha256Of(path) === own.sha256
  return { kind: same ? 'copy' : 'foreign' }
}

function occupantsIn(binDir: string, set: FileSet, names: readonly string[]): Map<string, Occupant> {
  const files = new Map(set.files.map((file) => [file.name, file]))
  const ours = entriesOf(binDir).filter((name) => isOwnTarget(linkOf(join(binDir, name)) ?? ''))
  return new Map(
    [...new Set([...names, ...ours])].map((name) => [name, occupantOf(join(binDir, name), files.get(name))]),
  )
}

/** Every file is read: what a disk has spoilt is copied again. */
function goodFiles(folder: string, { files }: FileSet): Set<string> {
  const isGood = ({ name, sha256, bytes, executable }: FileSet['files'][number]): boolean => {
    const stat = statOf(join(folder, name))
    if (!stat?.isFile() || Number(stat.size) !== bytes || sha256Of(join(folder, name)) !== sha256) return false
    return ((Number(stat.mode) & 0o111) !== 0) === executable
  }
  const good = files.filter(isGood).map(({ name }) => name)
  const hasSums =
    statOf(join(folder, sumsName))?.isFile() && readFileSync(join(folder, sumsName), 'utf8') === sumsOf(files)
  return new Set([...good, ...(hasSums ? [sumsName] : [])])
}

/** Of the nearest folder that is there. */
function freeBytesAt(path: string): number {
  if (statOf(path) === undefined) return freeBytesAt(join(path, '..'))
  const { bavail, bsize } = statfsSync(path)
  return bavail * bsize
}

function textsIn(folder: string): Map<string, string> {
  const isFile = (name: string): boolean => statOf(join(folder, name))?.isFile() === true
  return new Map(
    entriesOf(folder)
      .filter(isFile)
      .map((name) => [name, readFileSync(join(folder, name), 'utf8')]),
  )
}

/** `names`: the names that are wished in the folder of plugins. `ownConfDir`: our folder in the one for configs. */
export function surveyOf(binDir: string, ownConfDir: string, set: FileSet, names: readonly string[]): Survey {
  const own = join(binDir, ownFolder)
  const nowMs = Date.now()
  const special = [currentName, replacedName, lockName]
  const isVersion = (name: string): boolean => !special.includes(name) && !name.startsWith(passing)
  const leftoversIn = (folder: string): string[] =>
    entriesOf(folder)
      .filter((name) => name.startsWith(passing))
      .map((name) => join(folder, name))
  const versionFolder = join(own, set.id)
  return {
    binDirThere: statOf(binDir) !== undefined,
    current: linkOf(join(own, currentName)),
    versions: entriesOf(own)
      .filter(isVersion)
      .map((id) => ({ id, idleMs: nowMs - Number(statOf(join(own, id))?.mtimeMs ?? nowMs) })),
    good: goodFiles(versionFolder, set),
    occupants: occupantsIn(binDir, set, names),
    replaced: new Set(entriesOf(join(own, replacedName))),
    leftovers: [own, versionFolder, join(versionFolder, 'lib'), ownConfDir].flatMap(leftoversIn),
    freeBytes: freeBytesAt(binDir),
    configs: textsIn(ownConfDir),
  }
}
