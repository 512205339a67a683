/** The keys that a link on a master has, whatever its kind: their defaults, and what a call makes of them. */
import type { Plan } from '../../ipam/index.ts'
import { textOrNone, uint32 } from '../../shared/cni/keys.ts'
import type { Request } from '../../shared/cni/request.ts'
import * as z from '../../shared/cni/schema.ts'
import { planFor } from '../addresses.ts'
import type { Deps } from '../deps.ts'
import { type Layer3, layer3KeyDocs, layer3Of, layer3Shape } from '../layer3.ts'

export const childShape = {
  master: textOrNone,
  mtu: z._default(uint32, 0),
  linkInContainer: z._default(z.boolean(), false),
  ...layer3Shape,
}

/** What the keys mean, for the README's tables (scripts/tables.ts). */
export const childKeyDocs: Record<keyof typeof childShape, string> = {
  master: 'parent link; none named: the link of the default route',
  mtu: "bytes, 0 to the master's MTU; 0: the master's",
  linkInContainer: "the master is looked for in the pod's namespace",
  ...layer3KeyDocs,
}

export interface ChildConfig {
  /** The parent link; undefined: that of the default route. */
  readonly master: string | undefined
  readonly mode: string
  /** Undefined: as large as the master's. */
  readonly mtuBytes: number | undefined
  /** Lower case, colons; 'fromIP': made of the first address; undefined: nobody asks for one. */
  readonly mac: string | undefined
  readonly masterInContainer: boolean
  readonly hostAccess: boolean
  /** The `ipam.type`; undefined: no addresses, layer 2 only. */
  readonly ipamType: string | undefined
  readonly layer3: Layer3
}

type ChildKeys = Parameters<typeof layer3Of>[0] & {
  readonly [Key in 'master' | 'mtu' | 'linkInContainer']: z.output<(typeof childShape)[Key]>
}

/** What the common keys mean, read with those of a kind. Throws ERR_CONFIG that names the key and the value. */
export const childConfigOf = (request: Request, keys: ChildKeys): Omit<ChildConfig, 'mode' | 'mac' | 'hostAccess'> => ({
  master: keys.master || undefined,
  mtuBytes: keys.mtu || undefined,
  masterInContainer: keys.linkInContainer,
  ipamType: request.config.ipam?.type || undefined,
  layer3: layer3Of(keys),
})

/** What the network says of its link counts where the config is silent. Throws the errors of planFor. */
export function withPlan<Config extends ChildConfig>(
  config: Config,
  request: Request,
  deps: Deps,
): { readonly config: Config; readonly plan: Plan } {
  const plan = planFor(request, deps)
  return { plan, config: { ...config, mtuBytes: config.mtuBytes ?? plan.link.mtuBytes } }
}
