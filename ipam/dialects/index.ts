/** Which dialect a config is written in, and its plan. */
import { keyValue } from '../../shared/cni/keys.ts'
import type { Plan } from '../plan.ts'
import { refuse } from './common.ts'
import type { Dialect, DialectInput } from './dialect.ts'
import { hostLocal } from './host-local.ts'
import { netConfig } from './netconfig.ts'
import { staticAddresses } from './static.ts'
import { whereabouts } from './whereabouts.ts'

const dialects: readonly Dialect[] = [whereabouts, hostLocal, staticAddresses, netConfig]

/** Keys that stand in configs of one dialect only; with those of the first, a key of the second is a slip of the pen. */
const whereaboutsMarks = ['range', 'ipRanges']
const hostLocalMarks = ['subnet', 'ranges', 'rangeStart', 'rangeEnd', 'dataDir']

/**
 * The dialect of an `ipam` object: the one it names, else that of the plugin which `type` names, else the one whose keys
 * are there. Throws ERR_CONFIG for a name that is none.
 */
export function dialectFor(ipam: unknown): Dialect {
  const name = keyValue(ipam, 'dialect')
  if (name !== undefined && name !== '') {
    const names = dialects.map((dialect) => dialect.name).join(', ')
    return dialects.find((dialect) => dialect.name === name) ?? refuse('ipam.dialect', name, `must be one of ${names}`)
  }
  const type = keyValue(ipam, 'type')
  const peer = [whereabouts, hostLocal, staticAddresses].find((dialect) => dialect.name === type)
  if (peer !== undefined) return peer
  const has = (key: string): boolean => keyValue(ipam, key) !== undefined
  if (has('networks')) return netConfig
  return !whereaboutsMarks.some(has) && hostLocalMarks.some(has) ? hostLocal : whereabouts
}

/** Reads a config in its own dialect. Throws ERR_CONFIG that names the key, the value and what is wrong with it. */
export const planFor = (input: DialectInput): Plan => dialectFor(input.ipam).plan(input)
