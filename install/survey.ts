/** What an installer finds: nothing is changed by looking. */
import { readdirSync, readFileSync, readlinkSync, statfsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { currentName, ownFolder } from '../shared/aliases.ts'
import { isErrno } from '../shared/disk.ts'
import { bytesOf, sha256Of, statOf } from './files.ts'
import {
  type FileSet,
  goneName,
  isOwnTarget,
  librariesName,
  lockName,
  passing,
  previousName,
  replacedName,
  sumsName,
  sumsOf,
} from './layout.ts'
import { pluginsNamedIn } from './primary.ts'

/** Who has a name in the folder of plugins. `copy`: a file with the content of ours. */
export type Occupant =
  | { readonly kind: 'absent' | 'copy' | 'foreign' | 'directory' }
  | { readonly kind: 'ours'; readonly target: string }

interface Version {
  readonly id: string
  /** Since something was changed in it, or another took its place. */
  readonly idleMs: number
  readonly bytes: number
}

interface ConfigFile {
  /** Undefined when it is no file. A symbolic link is what it leads to. */
  readonly text: string | undefined
  readonly mode: number
}

export interface Survey {
  /** Whether our folder is there. */
  readonly isThere: boolean
  /** The version that `current` says. */
  readonly current: string | undefined
  /** The one before. */
  readonly previous: string | undefined
  /** Those that are complete, or counted once. */
  readonly versions: readonly Version[]
  /** The files of the wished version that are there as they must be. */
  readonly good: ReadonlySet<string>
  /** Of every name that is wished or ours. */
  readonly occupants: ReadonlyMap<string, Occupant>
  /** Names of which somebody's file is kept. */
  readonly replaced: ReadonlySet<string>
  /** What an interrupted installer has left, files and folders. */
  readonly leftovers: readonly { readonly path: string; readonly bytes: number }[]
  readonly freeBytes: number
  /** Whether there is a folder of ours in the one for configs. */
  readonly hasOwnConfDir: boolean
  /** Names in it that are taken. */
  readonly configs: ReadonlyMap<string, ConfigFile>
  /** Plugins that the node's own networks use, each with the config that says so. */
  readonly inUse: ReadonlyMap<string, string>
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

function configOf(path: string): ConfigFile {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (!stat?.isFile()) return { text: undefined, mode: 0 }
  return { text: readFileSync(path, 'utf8'), mode: stat.mode }
}

const configsIn = (folder: string): Map<string, ConfigFile> =>
  new Map(entriesOf(folder).map((name) => [name, configOf(join(folder, name))]))

/** The folders of versions, those that were never complete by themselves: nobody uses them. */
function versionsIn(own: string, set: FileSet, current: string | undefined): { whole: string[]; partial: string[] } {
  const special = [currentName, previousName, replacedName, lockName]
  const ids = entriesOf(own).filter((name) => !special.includes(name) && !name.startsWith(passing))
  const isWhole = (id: string): boolean =>
    id === set.id || id === current || statOf(join(own, id, sumsName)) !== undefined
  return { whole: ids.filter(isWhole), partial: ids.filter((id) => !isWhole(id)) }
}

/** What has a passing name where one is given. */
function passingIn(own: string, ids: readonly string[], ownConfDir: string): string[] {
  const versions = ids.flatMap((id) => [join(own, id), join(own, id, librariesName)])
  const gone = join(dirname(own), goneName)
  return [
    ...(statOf(gone) === undefined ? [] : [gone]),
    ...[own, ...versions, ownConfDir].flatMap((folder) =>
      entriesOf(folder)
        .filter((name) => name.startsWith(passing))
        .map((name) => join(folder, name)),
    ),
  ]
}

/** `names`: the names that are wished in the folder of plugins. `ownConfDir`: our folder in the one for configs. */
export function surveyOf(binDir: string, ownConfDir: string, set: FileSet, names: readonly string[]): Survey {
  const own = join(binDir, ownFolder)
  const nowMs = Date.now()
  const current = linkOf(join(own, currentName))
  const { whole, partial } = versionsIn(own, set, current)
  const leftovers = [...passingIn(own, whole, ownConfDir), ...partial.map((id) => join(own, id))]
  return {
    isThere: statOf(own) !== undefined,
    current,
    previous: linkOf(join(own, previousName)),
    versions: whole.map((id) => ({
      id,
      idleMs: nowMs - Number(statOf(join(own, id))?.mtimeMs ?? nowMs),
      bytes: bytesOf(join(own, id)),
    })),
    good: goodFiles(join(own, set.id), set),
    occupants: occupantsIn(binDir, set, names),
    replaced: new Set(entriesOf(join(own, replacedName))),
    leftovers: leftovers.map((path) => ({ path, bytes: bytesOf(path) })),
    freeBytes: freeBytesAt(binDir),
    hasOwnConfDir: statOf(ownConfDir)?.isDirectory() === true,
    configs: configsIn(ownConfDir),
    inUse: pluginsNamedIn(dirname(ownConfDir)),
  }
}
