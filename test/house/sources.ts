/** The project's source files, for the house tests. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

export const root = join(import.meta.dirname, '..', '..')

/** Folders whose code is ours. */
const folders = ['plugins', 'ipam', 'vf', 'shared', 'agent', 'cli', 'install', 'packaging', 'scripts', 'bench', 'test']

export interface Source {
  /** From the root, `shared/host/netns.ts`. */
  readonly path: string
  readonly text: string
  readonly lines: readonly string[]
}

const read = (path: string): Source => {
  const text = readFileSync(join(root, path), 'utf8')
  return { path, text, lines: text.split('\n') }
}

export const sources: readonly Source[] = [
  read('main.ts'),
  ...folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
      .map((entry) => read(relative(root, join(entry.parentPath, entry.name)))),
  ),
]

/** What goes into the packaged program. */
export const programSources = sources.filter(({ path }) =>
  /^(main\.ts|plugins\/|ipam\/|vf\/|shared\/|agent\/|cli\/|install\/)/.test(path),
)

export const readDocument = (path: string): string => readFileSync(join(root, path), 'utf8')
