/** `berth leases list`: who holds which address on this node, and what is kept. */
import { openStore } from '../../ipam/index.ts'
import { type Command, jsonOption, networkOption } from '../command.ts'
import { json, printable, table } from '../table.ts'
import { byAddress, keptJson, leaseColumns, leaseRows, stateText } from './rows.ts'

export const list: Command = {
  words: 'leases list',
  summary: 'who holds which address on this node, and what is kept',
  about: 'Shows who holds which address on this node, and which addresses are kept.',
  options: { network: { ...networkOption, about: 'only this CNI network' }, json: jsonOption },
  run(options, _operand, { dataDir }) {
    const network = options.text('network')
    const { records, kept, damaged } = openStore(dataDir).list()
    const wanted = (one: { readonly network: string }): boolean => network === undefined || one.network === network
    const held = records.filter(wanted).map((record) => ({ record }))
    const keep = kept.filter(({ record }) => wanted(record)).map((one) => ({ record: one.record, kept: one }))
    if (options.flag('json')) {
      return { stdout: json({ attachments: held.map(({ record }) => record), kept: keep.map(keptJson), damaged }) }
    }
    const rows = [...held, ...keep]
      .sort(byAddress)
      .flatMap((entry) => leaseRows(entry).map((row) => [...row, stateText(entry)]))
    const warnings = damaged.map((name) => `damaged: ${printable(`${dataDir}/leases/${name}`)}\n`)
    return { stdout: (rows.length === 0 ? 'no leases\n' : table([...leaseColumns, 'STATE'], rows)) + warnings.join('') }
  },
}
