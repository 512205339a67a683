/** `berth import host-local`: takes over what the reference's host-local has given out on this node. */
import { hostLocalSpace, importHostLocal } from '../../ipam/admin.ts'
import { openStore } from '../../ipam/index.ts'
import { type Command, dryRunOption, jsonOption, networkOption, UsageError } from '../command.ts'
import { progressOf, report } from './report.ts'

export const hostLocal: Command = {
  words: 'import host-local',
  summary: 'take over the leases of host-local',
  about:
    'Takes over the leases in a folder of host-local, by default /var/lib/cni/networks/NAME, for berth-ipam in that dialect.',
  operand: '<DIR>',
  makesStore: true,
  options: {
    network: { ...networkOption, about: 'the CNI network that the folder belongs to; required' },
    range: {
      type: 'string',
      multiple: true,
      value: 'CIDR',
      about: "a subnet of the network: the folder does not tell the addresses' prefix length; required",
    },
    'ipam-data-dir': {
      type: 'string',
      value: 'DIR',
      about: 'what "ipam.dataDir" of the config says, if it says something: it makes a space of its own',
    },
    space: {
      type: 'string',
      value: 'NAME',
      about: 'the space to hold the addresses in (default: that of the network)',
    },
    'dry-run': dryRunOption,
    progress: { type: 'boolean', about: 'say how far it is even if standard error is no terminal' },
    json: jsonOption,
  },
  notes: `Exit code 1 when something was skipped; the rest is imported. Running it again changes nothing.
The folder is left as it is. Stop giving out addresses by host-local first.`,
  run(options, operand, context) {
    if (operand === '') throw new UsageError('no folder given')
    const network = options.required('network')
    const subnets = options.subnets('range')
    if (subnets.length === 0) throw new UsageError('--range is missing: the folder does not tell the subnet')
    const space = options.text('space') ?? hostLocalSpace(network, options.text('ipam-data-dir') ?? '')
    const done = importHostLocal(openStore(context.dataDir), operand, {
      network,
      space,
      subnets,
      dryRun: options.flag('dry-run'),
      onProgress: progressOf(context),
    })
    return report(done, { options, space, assumedIfName: 'eth0', notes: [] })
  },
}
