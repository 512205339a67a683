/** The files that are to be installed, read and checked where they stand. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { aliasNames, ownName } from '../shared/aliases.ts'
import { messageOf } from '../shared/message.ts'
import { sha256Of, statOf } from './files.ts'
import { type FileSet, librariesName, programName, readSums, type SetFile, sumsName, sumsOf } from './layout.ts'

const digestChars = 12

const isLauncher = (name: string): boolean => /^berth-[a-z0-9-]+$/.test(name)

function namesIn(folder: string): string[] {
  const libraries = join(folder, librariesName)
  const own = readdirSync(folder).filter((name) => name === programName || isLauncher(name))
  const beside = statOf(libraries)?.isDirectory() ? readdirSync(libraries) : []
  return [...own.sort(), ...beside.sort().map((name) => `${librariesName}/${name}`)]
}

/** The checksums that came with the files; none where they were built on the spot. */
function sumsIn(folder: string): Map<string, string> | undefined {
  const path = join(folder, sumsName)
  if (statOf(path) === undefined) return undefined
  try {
    return readSums(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new Error(`Cannot read "${path}": ${messageOf(error)}`, { cause: error })
  }
}

function readFile(folder: string, name: string, sums: Map<string, string> | undefined): SetFile {
  const path = join(folder, name)
  const stat = statOf(path)
  if (!stat?.isFile()) throw new Error(`Cannot install "${path}": it is no regular file`)
  const sha256 = sha256Of(path)
  if (sums !== undefined && sums.get(name) !== sha256) {
    throw new Error(
      `Cannot install "${path}": it is damaged: its SHA-256 is ${sha256}, ${sumsName} has ${sums.get(name) ?? 'none'}`,
    )
  }
  return { name, source: name, sha256, bytes: Number(stat.size), executable: (Number(stat.mode) & 0o111) !== 0 }
}

/** The files of the aliases, each a copy of what it means. Those that stand in the folder are not looked at: they may be spoilt. */
function aliasFiles(files: readonly SetFile[]): SetFile[] {
  return aliasNames.flatMap((name) => {
    const own = files.find((file) => file.name === ownName(name))
    return own === undefined ? [] : [{ ...own, name }]
  })
}

/** Throws an Error that names the file that is missing or damaged. */
export function readFileSet(folder: string, version: string): FileSet {
  const names = namesIn(folder)
  if (!names.includes(programName))
    throw new Error(`Cannot install from "${folder}": there is no "${programName}" in it`)
  if (!names.some(isLauncher)) throw new Error(`Cannot install from "${folder}": there is no plugin in it`)
  const sums = sumsIn(folder)
  const missing = [...(sums?.keys() ?? [])].find((name) => !names.includes(name) && !aliasNames.includes(name))
  if (missing !== undefined) throw new Error(`Cannot install "${join(folder, missing)}": it is missing`)
  const found = names.map((name) => readFile(folder, name, sums))
  const files = [...found, ...aliasFiles(found)]
  const digest = createHash('sha256').update(sumsOf(files)).digest('hex').slice(0, digestChars)
  return { from: folder, id: `${version.replace(/[^0-9A-Za-z.+-]/g, '-')}-${digest}`, files }
}
