/** What an import has done, for people and for programs. */
import type { Imported } from '../../ipam/admin.ts'
import type { Context, Options, Outcome } from '../command.ts'
import { byAddress, leaseColumns, leaseRows } from '../leases/rows.ts'
import { counted, json, printable, table } from '../table.ts'

/** Lines of a second: more would only flicker. */
const progressPauseMs = 100
/** Leases that are listed one by one; of more, only how many they are. */
const listedMax = 20

/** Tells `progress` how far the work is, not more often than anybody can read. */
export function progressOf({ progress }: Context): (done: number, total: number) => void {
  let toldAt = 0
  return (done, total) => {
    const now = performance.now()
    if (progress === undefined || (done < total && now - toldAt < progressPauseMs)) return
    toldAt = now
    progress(`${done} of ${total} attachments`, done === total)
  }
}

interface About {
  readonly options: Options
  readonly space: string
  readonly assumedIfName: string
  readonly notes: readonly string[]
}

/** The outcome of an import: exit code 1 when something was skipped. */
export function report(done: Imported, { options, space, assumedIfName, notes }: About): Outcome {
  const { taken, unchanged, skipped, assumed } = done
  const dryRun = options.flag('dry-run')
  const exitCode = skipped.length > 0 ? 1 : 0
  if (options.flag('json')) return { stdout: json({ dryRun, space, ...done }), exitCode }
  const addresses = taken.reduce((sum, { leases }) => sum + leases.length, 0)
  const rows = taken
    .map((record) => ({ record }))
    .sort(byAddress)
    .flatMap(leaseRows)
  const what = `${counted(taken.length, 'attachment')} with ${counted(addresses, 'address', 'addresses')}`
  const lines = [
    `${dryRun ? 'would import' : 'imported'} ${what} into the space "${space}"; ${unchanged} were there already; ${skipped.length} skipped`,
    ...(assumed.length === 0
      ? []
      : [`${counted(assumed.length, 'entry', 'entries')} without an interface: "${assumedIfName}" is assumed`]),
    ...notes,
  ]
  const trouble = skipped.map(({ at, why }) => `skipped ${printable(at)}: ${printable(why)}\n`).join('')
  return {
    stdout:
      (rows.length > 0 && rows.length <= listedMax ? table(leaseColumns, rows) : '') +
      lines.map((line) => `${printable(line)}\n`).join(''),
    stderr: trouble,
    exitCode,
  }
}
