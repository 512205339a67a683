/** `berth leases sweep`: releases what nobody holds any more. */
import { type Entry, type Swept, sweepLeases } from '../../ipam/admin.ts'
import { openStore, type Store } from '../../ipam/index.ts'
import { sweepVlans } from '../../plugins/child/drop-vlan.ts'
import { deleteLink } from '../../shared/host/links.ts'
import { NetlinkSocket } from '../../shared/host/netlink.ts'
import { Holdings, type SweptVfs, sweepVfs } from '../../vf/index.ts'
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

/** Under the columns of leases, the VF in the place of the address. */
const vfRows = ({ restored, waiting, failed, damaged }: SweptVfs): string[][] => [
  ...Object.entries({ restored, waiting, failed }).flatMap(([state, holdings]) =>
    holdings.map(({ address, network, containerId, ifName, heldSince }) => [
      state,
      address,
      network,
      containerId,
      ifName,
      '-',
      heldSince,
    ]),
  ),
  ...damaged.map((path) => ['damaged', path]),
]

/** The VLAN links that were made for attachments and that no record has; a dry run knows only of those that none has already. */
async function sweepLinks(store: Store, dryRun: boolean): Promise<readonly string[]> {
  if (!store.exists()) return []
  using host = new NetlinkSocket()
  return await sweepVlans(host, { store, deleteLink: (_, socket, index) => void deleteLink(socket, index) }, dryRun)
}

/** For who asks often, and has no use for a list of thousands. */
const totalsOf = (swept: Swept | SweptVfs): Record<string, number> =>
  Object.fromEntries(Object.entries(swept).map(([what, list]: [string, readonly unknown[]]) => [what, list.length]))

export const sweep: Command = {
  words: 'leases sweep',
  summary: 'release what nobody holds any more',
  about: `Releases attachments of an earlier boot, those whose network namespace is gone, and what was kept long enough.
The VFs of such attachments are given back to the node as they were, and VLAN links of ours that no attachment has any more are removed.`,
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
  async run(options, _operand, { dataDir }) {
    const graceMs = graceOf(options.text('grace') ?? '60') * 1000
    const dryRun = options.flag('dry-run')
    const store = openStore(dataDir)
    // First: while a VF is in its pod, the addresses on it are too.
    const holdings = new Holdings(dataDir, () => store.shared)
    const hold = (key: Parameters<typeof store.hold>[0]): Disposable => store.hold(key)
    const vfs = await sweepVfs(holdings, { nowMs: Date.now(), graceMs, dryRun, hold })
    const swept = sweepLeases(store, graceMs, dryRun)
    // Last: what was released now may have been the last one of a link.
    const vlans = await sweepLinks(store, dryRun)
    if (options.flag('json') && options.flag('totals')) {
      return { stdout: json({ ...totalsOf(swept), vfs: totalsOf(vfs), vlans: vlans.length }) }
    }
    if (options.flag('json')) {
      const expired = swept.expired.map((kept) => keptJson({ record: kept.record, kept }))
      return { stdout: json({ dryRun, ...swept, expired, vfs, vlans }) }
    }
    const rows = [...rowsOf(swept), ...vfRows(vfs), ...vlans.map((name) => ['removed', name])]
    const note = dryRun && rows.length > 0 ? 'nothing was changed: this is what a sweep would do\n' : ''
    return { stdout: rows.length === 0 ? 'nothing to sweep\n' : table(['WHAT', ...leaseColumns], rows) + note }
  },
}
