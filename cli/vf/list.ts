/** `berth vf list`: who holds which VF of this node. */
import { openStore } from '../../ipam/index.ts'
import { namesOf, spellAttribute } from '../../shared/host/vf-attributes.ts'
import { type Holding, Holdings, inUseNow } from '../../vf/index.ts'
import { type Command, jsonOption } from '../command.ts'
import { json, printable, table } from '../table.ts'

const columns = ['VF', 'OF', 'NETWORK', 'CONTAINER', 'INTERFACE', 'SET', 'SINCE', 'STATE'] as const

/** `vlan 100, trust on`: what the PF was told. */
const setText = ({ set }: Holding): string =>
  namesOf(set)
    .map((name) => `${name} ${spellAttribute(name, set)}`)
    .join(', ') || '-'

function rowOf(holding: Holding, isInUse: boolean): string[] {
  const { address, pf, network, containerId, ifName, heldSince } = holding
  const of = pf === undefined ? '-' : `VF ${pf.vf} of ${pf.address}`
  return [address, of, network, containerId, ifName, setText(holding), heldSince, isInUse ? 'held' : 'gone']
}

export const vfList: Command = {
  words: 'vf list',
  summary: 'who holds which VF of this node',
  about: 'Shows who holds which VF of this node, and what its PF was told of it.',
  options: { json: jsonOption },
  notes: 'What is "gone" has no pod any more: the next sweep, or an ADD that wants the VF, gives it back.',
  run(options, _operand, { dataDir }) {
    const store = openStore(dataDir)
    const { holdings, damaged } = new Holdings(dataDir, () => store.shared).list()
    if (options.flag('json')) return { stdout: json({ holdings, damaged }) }
    const warnings = damaged.map((path) => `damaged: ${printable(path)}\n`)
    const isInUse = inUseNow()
    const rows = holdings.map((holding) => rowOf(holding, isInUse(holding)))
    return { stdout: (rows.length === 0 ? 'no VFs\n' : table(columns, rows)) + warnings.join('') }
  },
}
