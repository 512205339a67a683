/** `berth leases sweep`: releases what nobody holds any more. */
import { type Entry, type Swept, sweepLeases } from '../../ipam/admin.ts'
import { openStore } from '../../ipam/index.ts'
import { type Command, dryRunOption, jsonOption, UsageError } from '../command.ts'
import { json, table } from '../table.ts'
import { keptJson, leaseColumns, leaseRows } from './rows.ts'

const graceMaxSeconds = 31_536_000

function graceOf(text: string): number {
  const seconds = /^[0-9]{1,8}$/.test(text) ? Number(text) : Number.NaN
  if (seconds <= graceMaxSeconds) return seconds
  throw new UsageError(`--grace "${text}" is not a number of seconds up to ${graceMaxSeconds}`)
}

function rowsOf({ released, waiting, expired, leftOver, damaged }: Swept): string[][] {
  const rows = (state: string, entries: readonly Entry[]): string[][] =>
    entries.flatMap((entry) => leaseRows(entry).map((row) => [state, ...row]))
  return [
    ...rows(
      'released',
      released.map((record) => ({ record })),
    ),
    ...rows(
      'waiting',
      waiting.map((record) => ({ record })),
    ),
    ...rows(
      'expired',
      expired.map((kept) => ({ record: kept.record, kept })),
    ),
    ...leftOver.map((name) => ['left over', name]),
    ...damaged.map((name) => ['damaged', name]),
  ]
}

/** For who asks often, and has no use for a list of thousands. */
const totalsOf = (swept: Swept): Record<string, number> =>
  Object.fromEntries(Object.entries(swept).map(([what, list]: [string, readonly unknown[]]) => [what, list.length]))

export const sweep: Command = {
  words: 'leases sweep',
  summary: 'release what nobody holds any more',
  about:
    'Releases attachments of an earlier boot, those whose network namespace is gone, and what was kept long enough.',
  options: {
    grace: {
      type: 'string',
      value: 'SECONDS',
      about: 'how long a namespace must have been gone, seen by an earlier sweep (default 60)',
    },
    'dry-run': dryRunOption,
    json: jsonOption,
    totals: { type: 'boolean', about: 'with --json: only how many there are of each' },
  },
  notes: `What is found gone for the first time is "waiting": the next sweep after the grace period releases it.
Imported leases are never swept: nobody told their namespaces.`,
  run(options, _operand, { dataDir }) {
    const graceMs = graceOf(options.text('grace') ?? '60') * 1000
    const swept = sweepLeases(openStore(dataDir), graceMs, options.flag('dry-run'))
    if (options.flag('json') && options.flag('totals')) return { stdout: json(totalsOf(swept)) }
    if (options.flag('json')) {
      const expired = swept.expired.map((kept) => keptJson({ record: kept.record, kept }))
      return { stdout: json({ dryRun: options.flag('dry-run'), ...swept, expired }) }
    }
    const rows = rowsOf(swept)
    const note =
      options.flag('dry-run') && rows.length > 0 ? 'nothing was changed: this is what a sweep would do\n' : ''
    return { stdout: rows.length === 0 ? 'nothing to sweep\n' : table(['WHAT', ...leaseColumns], rows) + note }
  },
}
