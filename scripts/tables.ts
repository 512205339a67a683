/**
 * The README's key and error tables, made from the schemas and the error table: defaults stand there and nowhere else.
 * `--write` puts them between their markers, and the figures of the last `make bench` as well; the house test compares the
 * former.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { $ZodType, $ZodTypes } from 'zod/v4/core'
import { berthKeyDocs, berthShape } from '../ipam/dialects/common.ts'
import { hostLocalKeyDocs, hostLocalShape } from '../ipam/dialects/host-local.ts'
import { netConfigKeyDocs, netConfigShape } from '../ipam/dialects/netconfig.ts'
import { staticKeyDocs, staticShape } from '../ipam/dialects/static.ts'
import { whereaboutsKeyDocs, whereaboutsShape } from '../ipam/dialects/whereabouts.ts'
import { ipvlanKeyDocs, ipvlanShape } from '../plugins/ipvlan/config.ts'
import { macvlanKeyDocs, macvlanShape } from '../plugins/macvlan/config.ts'
import { sriovKeyDocs, sriovShape } from '../plugins/sriov/config.ts'
import { errorTable } from '../shared/cni/errors.ts'

const readme = join(import.meta.dirname, '..', 'README.md')
const benchReport = join(import.meta.dirname, '..', 'dist', 'bench.json')

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
  'macvlan keys': keyTable(macvlanShape(), macvlanKeyDocs),
  'ipvlan keys': keyTable(ipvlanShape(), ipvlanKeyDocs),
  'sriov keys': keyTable(sriovShape(), sriovKeyDocs),
  'ipam keys': keyTable(berthShape(), berthKeyDocs),
  'whereabouts keys': keyTable(whereaboutsShape(), whereaboutsKeyDocs),
  'host-local keys': keyTable(hostLocalShape(), hostLocalKeyDocs),
  'static keys': keyTable(staticShape(), staticKeyDocs),
  'netconfig keys': keyTable(netConfigShape(), netConfigKeyDocs),
  errors: errorsTable(),
}

/** Puts a table between its markers. Throws when they are missing. */
export function withTable(text: string, name: string, table: string): string {
  const [start, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`]
  const [before, after] = [text.indexOf(start), text.indexOf(end)]
  if (before < 0 || after < before) throw new Error(`README.md has no place for the table "${name}"`)
  return `${text.slice(0, before + start.length)}\n${table}\n${text.slice(after)}`
}

/** The README with the tables of the sources made anew. */
export const withTables = (text: string): string =>
  Object.entries(tables).reduce((rest, [name, table]) => withTable(rest, name, table), text)

interface BenchReport {
  readonly machine: { kernel: string; cpus: number; cpu: string; node: string; disk: string }
  readonly rows: { name: string; n: number; p50Ms: number; p99Ms: number }[]
  readonly ratios: { name: string; p50: number; p99: number; target?: number; target99?: number }[]
  readonly lines: string[]
}

/** Small ones would all be 0.00. */
const ratio = (value: number): string => (value < 0.1 ? value.toFixed(4) : value.toFixed(2))
const aim = (value: number | undefined): string => (value === undefined ? '' : `≤ ${Number(value.toFixed(4))}`)

/** The last run of `make bench` as a table; undefined when there was none here. */
function figures(): string | undefined {
  if (!existsSync(benchReport)) return undefined
  const { machine, rows, ratios, lines }: BenchReport = JSON.parse(readFileSync(benchReport, 'utf8'))
  return [
    `${machine.cpu}, ${machine.cpus} cores, Linux ${machine.kernel}, ${machine.disk}, Node ${machine.node}:`,
    '',
    '| what | n | p50 ms | p99 ms |',
    '|---|---|---|---|',
    ...rows.map(({ name, n, p50Ms, p99Ms }) => `| ${name} | ${n} | ${p50Ms.toFixed(2)} | ${p99Ms.toFixed(2)} |`),
    '',
    '| ratio | p50 | aim | p99 | aim |',
    '|---|---|---|---|---|',
    ...ratios.map(
      ({ name, p50, p99, target, target99 }) =>
        `| ${name} | ${ratio(p50)} | ${aim(target)} | ${ratio(p99)} | ${aim(target99)} |`,
    ),
    '',
    '```',
    ...lines,
    '```',
  ].join('\n')
}

if (import.meta.main) {
  const measured = figures()
  const current = readFileSync(readme, 'utf8')
  const text = measured === undefined ? current : withTable(current, 'figures', measured)
  if (process.argv.includes('--write')) writeFileSync(readme, withTables(text))
  else process.stdout.write(withTables(text))
}
