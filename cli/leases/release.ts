/** `berth leases release`: by hand, what no DEL will release. */
import { type Entry, release as releaseEntry, releaseUnreadable, type Target } from '../../ipam/admin.ts'
import { openStore, type Store } from '../../ipam/index.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { type Command, networkOption, type Options, type Outcome, UsageError } from '../command.ts'
import { counted, printable, table } from '../table.ts'
import { addressText, byAddress, leaseColumns, leaseRows, podText } from './rows.ts'
import { entriesOf, readTarget } from './show.ts'

function releasedText({ record, kept }: Entry): string {
  const addresses = record.leases.map(addressText).join(', ') || 'no address'
  const pod = podText(record) === '-' ? '' : ` (pod ${podText(record)})`
  const was = kept === undefined ? 'of' : 'kept after'
  return printable(`released ${addresses} ${was} ${record.network}/${record.containerId}/${record.ifName}${pod}`)
}

/** An unreadable record does not tell whether its pod lives: only who says --force releases it. */
function releaseDamaged(store: Store, text: string, target: Target, force: boolean, error: unknown): Outcome {
  if (!(error instanceof CniError) || error.errorName !== 'ERR_DAMAGED' || !('key' in target)) throw error
  if (!force) {
    const why = 'nothing tells whether its pod is alive; --force releases it all the same, and keeps the file aside'
    throw new Error(`${error.message}: ${why}`)
  }
  releaseUnreadable(store, target.key)
  return { stdout: printable(`released ${text}, whose record is damaged; its file is in "damaged"`).concat('\n') }
}

function releaseOne(store: Store, dataDir: string, text: string, force: boolean): Outcome {
  const target = readTarget(text)
  if ('pod' in target) throw new UsageError(`"${text}" is a pod: name an address or network/container/interface`)
  let entries: Entry[]
  try {
    entries = entriesOf(store, dataDir, text, target)
  } catch (error) {
    return releaseDamaged(store, text, target, force, error)
  }
  const [entry, ...others] = entries
  if (entry === undefined || others.length > 0) {
    const spaces = entries.flatMap(({ record }) => record.leases.map(addressText))
    throw new Error(`Cannot release "${text}": it means several: ${spaces.join(', ')}`)
  }
  if (!releaseEntry(store, entry, force)) throw new Error(`Cannot release "${text}": somebody else just did`)
  return { stdout: `${releasedText(entry)}\n` }
}

function releaseImported(store: Store, options: Options): Outcome {
  const network = options.required('network')
  const imported = store
    .list()
    .records.filter((record) => record.imported !== undefined && record.network === network)
    .map((record): Entry => ({ record }))
    .sort(byAddress)
  if (imported.length === 0) return { stdout: `nothing imported is held in the network ${printable(network)}\n` }
  const what = counted(imported.length, 'imported attachment')
  if (!options.flag('yes')) {
    const hint = `${what} would be released. Their pods may be alive: if they are not, add --yes.\n`
    return { stdout: table(leaseColumns, imported.flatMap(leaseRows)), stderr: hint, exitCode: 1 }
  }
  const released = imported.filter((entry) => releaseEntry(store, entry, false))
  return { stdout: released.map((entry) => `${releasedText(entry)}\n`).join('') }
}

export const release: Command = {
  words: 'leases release',
  summary: 'release an address or an attachment by hand',
  about: 'Releases an address, or all of an attachment, by hand. The runtime is not told.',
  operand: '<address | network/container/interface>',
  options: {
    force: { type: 'boolean', about: 'even if its network namespace is alive, or its record damaged' },
    imported: {
      type: 'boolean',
      about: 'instead of one: all that was imported and not released since; needs --network',
    },
    network: networkOption,
    yes: { type: 'boolean', about: 'with --imported: do it, do not only show it' },
  },
  notes: 'An attachment is released whole: with one of its addresses it loses them all.',
  run(options, operand, { dataDir }) {
    const store = openStore(dataDir)
    if (!options.flag('imported')) {
      for (const name of ['network', 'yes']) {
        if (options.text(name) !== undefined || options.flag(name))
          throw new UsageError(`--${name} goes with --imported`)
      }
      return releaseOne(store, dataDir, operand, options.flag('force'))
    }
    if (operand !== '') throw new UsageError(`"${operand}" does not go with --imported`)
    return releaseImported(store, options)
  },
}
