/** `berth leases show`: everything that is known of one lease. */
import {
  type Entry,
  fileNameOf,
  findEntries,
  judge,
  keptUntil,
  parseTarget,
  type Target,
  whyHeld,
} from '../../ipam/admin.ts'
import { openStore, type Store } from '../../ipam/index.ts'
import { type Command, jsonOption, UsageError } from '../command.ts'
import { json, printable } from '../table.ts'
import { addressText, keptJson, podText, stateText, timeText } from './rows.ts'

/** Throws UsageError for what points at nothing. */
export function readTarget(text: string): Target {
  const target = parseTarget(text)
  if (target !== undefined) return target
  if (text === '') throw new UsageError('no address and no attachment given')
  throw new UsageError(`"${text}" is neither an address nor network/container/interface nor namespace/pod`)
}

/** What a target leads to, at least one. Throws when that is nothing, or not to be read. */
export function entriesOf(store: Store, dataDir: string, text: string, target: Target): Entry[] {
  const entries = findEntries(store, target)
  if (entries.length > 0) return entries
  const why = whyHeld(store, target)
  if (why === undefined) throw new Error(`Cannot find "${text}": nobody holds it in "${dataDir}"`)
  throw new Error(`Cannot tell who holds "${text}": ${why}; "berth leases check" names the files`)
}

function linesOf(store: Store, dataDir: string, entry: Entry): [string, string][] {
  const { record, kept } = entry
  const { link, netns, pod } = record
  const leases = record.leases.map((lease): [string, string] => {
    const gateway = lease.gateway === undefined ? '' : `, gateway ${lease.gateway}`
    return ['address', `${addressText(lease)} of range ${lease.range}${gateway}`]
  })
  const judged = kept === undefined ? judge(store, record) : undefined
  return [
    ['attachment', `${record.network}/${record.containerId}/${record.ifName}`],
    ['state', stateText(entry)],
    ...(leases.length === 0 ? [['address', 'none'] as [string, string]] : leases),
    ['pod', `${podText(record)}${pod?.uid === undefined ? '' : ` (uid ${pod.uid})`}`],
    ['link', link === undefined ? 'none of ours' : `index ${link.index}, MAC ${link.mac ?? 'made of the address'}`],
    ['namespace', judged === undefined ? 'none: released' : `${judged.state}: ${judged.why}`],
    ...(netns === undefined ? [] : [['', `device ${netns.dev}, inode ${netns.ino}`] as [string, string]]),
    ['claimed', record.claimedAt],
    ...(kept === undefined ? [] : [['released', timeText(kept.sinceMs)] as [string, string]]),
    ...(kept === undefined ? [] : [['kept until', timeText(keptUntil(kept).untilMs)] as [string, string]]),
    ['host', `${record.host}, boot ${record.bootId}`],
    ['file', `${dataDir}/leases/${fileNameOf(entry)}`],
  ]
}

const render = (lines: readonly (readonly [string, string])[]): string =>
  lines.map(([name, value]) => `${name.padEnd(10)}  ${printable(value)}\n`).join('')

export const show: Command = {
  words: 'leases show',
  summary: 'all that is known of an address, an attachment or a pod',
  about: 'Shows all that is known of a lease, and whether its network namespace is alive.',
  operand: '<address | network/container/interface | namespace/pod>',
  options: { json: jsonOption },
  notes: 'An address without @space is looked for in all spaces.',
  run(options, operand, { dataDir }) {
    const store = openStore(dataDir)
    const entries = entriesOf(store, dataDir, operand, readTarget(operand))
    if (!options.flag('json')) {
      return { stdout: entries.map((entry) => render(linesOf(store, dataDir, entry))).join('\n') }
    }
    const shown = entries.map((entry) => ({
      state: entry.kept === undefined ? 'held' : 'kept',
      file: `${dataDir}/leases/${fileNameOf(entry)}`,
      ...(entry.kept === undefined
        ? { namespace: judge(store, entry.record), attachment: entry.record }
        : keptJson(entry)),
    }))
    return { stdout: json(shown) }
  },
}
