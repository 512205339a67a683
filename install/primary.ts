/** Whose plugins the runtime's own networks use: a name that the cluster's network needs is not taken unasked. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { statOf } from './files.ts'

const configMaxBytes = 1024 * 1024
const isConfig = (name: string): boolean => /\.(conf|conflist|json)$/.test(name)

/** Every `type` in a config, of plugins, of their delegates and of their IPAMs. Flannel names none, and means host-local. */
function typesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => {
    if (key !== 'type' || typeof inner !== 'string') return typesIn(inner)
    return inner === 'flannel' ? [inner, 'host-local'] : [inner]
  })
}

function readTypes(path: string): string[] {
  const stat = statOf(path)
  if (!stat?.isFile() || Number(stat.size) > configMaxBytes) return []
  const text = readFileSync(path, 'utf8')
  try {
    return typesIn(JSON.parse(text))
  } catch {
    // No runtime can read it either.
    return []
  }
}

/** The plugins that configs in the folder name, each with the first file that does. */
export function pluginsNamedIn(confDir: string): Map<string, string> {
  const names = statOf(confDir)?.isDirectory() ? readdirSync(confDir).filter(isConfig).sort() : []
  const found = names
    .map((name) => join(confDir, name))
    .flatMap((path) => readTypes(path).map((type) => [type, path] as const))
  return new Map(found.reverse())
}
