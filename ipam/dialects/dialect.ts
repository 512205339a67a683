/** What every dialect is: a pure parser of one config format into a Plan. */
import type { Plan } from '../plan.ts'

export interface DialectInput {
  /** The `ipam` object of the config, as parsed JSON. */
  readonly ipam: unknown
  /** The name of the CNI network. */
  readonly network: string
  /** `runtimeConfig.ipRanges`, as parsed JSON; undefined when the runtime sends none. */
  readonly runtimeRanges: unknown
  /** A node-wide file of defaults for this dialect, as parsed JSON; undefined when there is none. */
  readonly defaults: unknown
}

export interface Dialect {
  readonly name: string
  /** Reads the config. Throws ERR_CONFIG that names the key, the value and what is wrong with it. */
  readonly plan: (input: DialectInput) => Plan
  /** Every key of the `ipam` object that is read or knowingly ignored, for warnings about near misses. */
  readonly keys: readonly string[]
}
