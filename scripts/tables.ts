/**
 * The README's key and error tables, made from the schemas and the error table: defaults stand there and nowhere else.
 * `--write` puts them between their markers; the house test compares.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { $ZodType, $ZodTypes } from 'zod/v4/core'
import { whereaboutsKeyDocs, whereaboutsShape } from '../ipam/dialects/whereabouts.ts'
import { macvlanKeyDocs, macvlanShape } from '../plugins/macvlan/config.ts'
import { errorTable } from '../shared/cni/errors.ts'

const readme = join(import.meta.dirname, '..', 'README.md')

interface KeyFacts {
  readonly type: string
  readonly defaultValue: string
}

/** Type and default of a key, from its schema. */
function factsOf(schema: $ZodType): KeyFacts {
  const { def } = (schema as $ZodTypes)._zod
  switch (def.type) {
    case 'default': {
      const value = JSON.stringify(def.defaultValue)
      return { type: factsOf(def.innerType).type, defaultValue: value === '""' ? '' : `\`${value}\`` }
    }
    case 'optional':
      return { ...factsOf(def.innerType), defaultValue: '' }
    case 'pipe':
      return factsOf(def.out)
    case 'array':
      return { type: `list of ${factsOf(def.element).type}`, defaultValue: '' }
    case 'enum':
      return { type: 'string', defaultValue: '' }
    default:
      return { type: def.type === 'number' ? 'integer' : def.type, defaultValue: '' }
  }
}

function keyTable(shape: Record<string, $ZodType>, docs: Record<string, string>): string {
  const rows = Object.entries(shape).map(([key, schema]) => {
    const { type, defaultValue } = factsOf(schema)
    return `| \`${key}\` | ${type} | ${defaultValue} | ${docs[key]} |`
  })
  return ['| key | type | default | meaning |', '|---|---|---|---|', ...rows].join('\n')
}

function errorsTable(): string {
  const rows = Object.entries(errorTable).map(
    ([name, { code, retryable, when }]) => `| ${code} | \`${name}\` | ${retryable ? 'yes' : 'no'} | ${when} |`,
  )
  return ['| code | name | retry may help | when |', '|---|---|---|---|', ...rows].join('\n')
}

const tables: Record<string, string> = {
  'macvlan keys': keyTable(macvlanShape, macvlanKeyDocs),
  'ipam keys': keyTable(whereaboutsShape, whereaboutsKeyDocs),
  errors: errorsTable(),
}

/** The README with its tables made anew. Throws when a marker is missing. */
export function withTables(text: string): string {
  return Object.entries(tables).reduce((rest, [name, table]) => {
    const [start, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`]
    const [before, after] = [rest.indexOf(start), rest.indexOf(end)]
    if (before < 0 || after < before) throw new Error(`README.md has no place for the table "${name}"`)
    return `${rest.slice(0, before + start.length)}\n${table}\n${rest.slice(after)}`
  }, text)
}

if (import.meta.main) {
  const text = readFileSync(readme, 'utf8')
  if (process.argv.includes('--write')) writeFileSync(readme, withTables(text))
  else process.stdout.write(withTables(text))
}
