/** `berth import whereabouts`: takes over what whereabouts has given out, from a dump of its IPPools. */
import { defaultSpace, importWhereabouts, type Pool, readPools } from '../../ipam/admin.ts'
import { openStore } from '../../ipam/index.ts'
import { type Command, dryRunOption, jsonOption, networkOption, type Options, UsageError } from '../command.ts'
import { readDocuments } from './documents.ts'
import { progressOf, report } from './report.ts'

/** The pools that belong to the network: all of a dump only if that is one. */
function choosePools(pools: readonly Pool[], names: readonly string[]): Pool[] {
  const unknown = names.find((name) => !pools.some((pool) => pool.name === name))
  if (unknown !== undefined) throw new Error(`Cannot find an IPPool "${unknown}" in the input`)
  if (names.length > 0) return pools.filter(({ name }) => names.includes(name))
  if (pools.length === 1) return [...pools]
  const all = pools.map(({ name }) => `"${name}"`).join(', ')
  throw new UsageError(`the input has several IPPools: name those of the network with --pool: ${all}`)
}

/** The space that the config of the pools' network will use. */
function spaceOf(pools: readonly Pool[], options: Options): string {
  const space = options.text('space')
  if (space !== undefined) return space
  const named = pools.find(({ prefix }) => prefix !== '')
  if (named === undefined) return defaultSpace
  throw new UsageError(
    `--space is missing: "${named.prefix}" in the name of the IPPool "${named.name}" may be a network_name (then it is the space) or a node (then "${defaultSpace}" is)`,
  )
}

export const whereabouts: Command = {
  words: 'import whereabouts',
  summary: 'take over the allocations of whereabouts',
  about: `Takes over the allocations of IPPool objects, which it reads from standard input as JSON or YAML:
kubectl get ippools.whereabouts.cni.cncf.io -n kube-system -o json | berth import whereabouts --network NAME`,
  makesStore: true,
  options: {
    network: { ...networkOption, about: 'the CNI network that the pools belong to; required' },
    pool: { type: 'string', multiple: true, value: 'NAME', about: 'only this IPPool; required when there are several' },
    space: {
      type: 'string',
      value: 'NAME',
      about: 'the space to hold the addresses in: the "network_name" of the config, if it has one',
    },
    range: {
      type: 'string',
      multiple: true,
      value: 'CIDR',
      about: "the network's subnet, where a pool's own range is only a slice of it",
    },
    'dry-run': dryRunOption,
    progress: { type: 'boolean', about: 'say how far it is even if standard error is no terminal' },
    json: jsonOption,
  },
  notes: `Exit code 1 when something was skipped; the rest is imported. Running it again changes nothing.
An IPPool does not tell a pod's node: addresses of pods on other nodes are held here too, until
"berth leases release" releases them.`,
  run(options, _operand, context) {
    const network = options.required('network')
    const subnets = options.subnets('range')
    const pools = choosePools(readPools(readDocuments(context.readStdin())), options.texts('pool'))
    const space = spaceOf(pools, options)
    const done = importWhereabouts(openStore(context.dataDir), pools, {
      network,
      space,
      subnets,
      dryRun: options.flag('dry-run'),
      onProgress: progressOf(context),
    })
    const notes = [
      'addresses of pods on other nodes are held here too: no DEL will release them, "berth leases release" does',
    ]
    return report(done, { options, space, assumedIfName: 'net1', notes })
  },
}
