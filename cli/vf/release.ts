/** `berth vf release`: by hand, a VF that neither a DEL nor a sweep can give back. */
import { openStore } from '../../ipam/index.ts'
import { describeKey } from '../../shared/attachment.ts'
import { parsePciAddress } from '../../shared/host/pci.ts'
import { messageOf } from '../../shared/message.ts'
import { giveBack, Holdings, isInUse } from '../../vf/index.ts'
import { type Command, UsageError } from '../command.ts'
import { printable } from '../table.ts'

export const vfRelease: Command = {
  words: 'vf release',
  summary: 'give a VF back by hand',
  about: 'Gives the VF back to the node as it was, and makes it free. The runtime is not told.',
  operand: '<PCI address>',
  options: {
    force: { type: 'boolean', about: 'even if its pod is there, or something of it cannot be made as it was' },
  },
  notes: 'After a release by force look at the VF yourself: what could not be given back stays as it is.',
  async run(options, operand, { dataDir }) {
    const address = parsePciAddress(operand)
    if (address === undefined) throw new UsageError(`"${operand}" is no PCI address: write it as "0000:03:02.1"`)
    const refuse = (why: string): never => {
      throw new Error(`Cannot release "${address}": ${why}`)
    }
    const store = openStore(dataDir)
    const holdings = new Holdings(dataDir, () => store.shared)
    const found = holdings.find(address) ?? refuse('nobody holds it')
    using _held = store.hold(found)
    const holding = holdings.find(address) ?? refuse('somebody else just did')
    if (holding.heldSince !== found.heldSince) refuse('somebody else just did, and it is held again')
    const force = options.flag('force')
    if (!force && isInUse(holding)) {
      refuse(`the pod of ${describeKey(holding)} is there, or may be; --force takes it away all the same`)
    }
    let stderr = ''
    try {
      await giveBack(holding)
    } catch (error) {
      if (!force) refuse(`${messageOf(error)}; --force makes it free all the same`)
      stderr = printable(`not as it was: ${messageOf(error)}`).concat('\n')
    }
    holdings.remove(holding)
    return { stdout: printable(`released ${address} of ${describeKey(holding)}`).concat('\n'), stderr }
  },
}
