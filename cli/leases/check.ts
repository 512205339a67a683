/** `berth leases check`: is everything in the store as it should be. */
import { openStore } from '../../ipam/index.ts'
import { type Command, jsonOption } from '../command.ts'
import { counted, json, table } from '../table.ts'

export const check: Command = {
  words: 'leases check',
  summary: 'whether the store is as it should be',
  about: 'Compares every file of the store with every other, without changing anything.',
  options: { json: jsonOption },
  notes: 'Exit code 1 when something is found. Calls that run meanwhile can be found as well: look twice.',
  run(options, _operand, { dataDir }) {
    const store = openStore(dataDir)
    const findings = store.inspect()
    const { records, kept } = store.list()
    const attachments = records.length
    const addresses = records.reduce((sum, { leases }) => sum + leases.length, 0)
    const exitCode = findings.length === 0 ? 0 : 1
    if (options.flag('json')) return { stdout: json({ findings, attachments, addresses, kept: kept.length }), exitCode }
    if (findings.length > 0) {
      const rows = findings.map(({ name, kind, what }) => [name, kind, what])
      return { stdout: table(['NAME', 'KIND', 'WHAT'], rows), exitCode }
    }
    const counts = `${counted(attachments, 'attachment')}, ${counted(addresses, 'address', 'addresses')}, ${kept.length} kept`
    return { stdout: `the store is consistent: ${counts}\n` }
  },
}
