/** The keys that a link on a master has, whatever its kind: their defaults, and what a call makes of them. */
import type { Plan } from '../../ipam/index.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { type keyed, textOrNone, uint32 } from '../../shared/cni/keys.ts'
import type { Request } from '../../shared/cni/request.ts'
import * as z from '../../shared/cni/schema.ts'
import { planFor } from '../addresses.ts'
import type { Deps } from '../deps.ts'
import { type Layer3, layer3KeyDocs, layer3Of, layer3Shape } from '../layer3.ts'
import { type MetadataPlace, metadataKeyDoc as openstackMetadata } from '../openstack/port.ts'
import { vlanIdMax } from './vlan.ts'

/** A function, as layer3Shape. */
export const childShape = () => ({
  master: textOrNone,
  vlan: z.optional(z.int(z.gte(0), z.lte(vlanIdMax))),
  createVlan: z._default(z.boolean(), false),
  openstackMetadata: textOrNone,
  mtu: z._default(uint32, 0),
  linkInContainer: z._default(z.boolean(), false),
  ...layer3Shape(),
})

/** What the keys mean, for the README's tables (scripts/tables.ts). */
export const childKeyDocs: Record<keyof ReturnType<typeof childShape>, string> = {
  master:
    'parent link; none named: the link of the default route; `openstack:<UUID>`: that of the port in this Neutron network',
  vlan: 'attach to this VLAN of the master (802.1Q), by the link that has it, whatever its name; 0: to the master itself. Goes with the `vlan` of `ipam.networks`',
  createVlan:
    'the link of the VLAN that `vlan` or a name like `enp6s0.20` asks for is made where it is missing, and removed with the last attachment that has it',
  openstackMetadata,
  mtu: "bytes, 0 to the master's MTU; 0: the master's",
  linkInContainer: "the master is looked for in the pod's namespace",
  ...layer3KeyDocs,
}

export interface ChildConfig {
  /** The parent link; undefined: that of the default route. */
  readonly master: string | undefined
  /** 0: the master itself; undefined: nothing is said of it. */
  readonly vlan: number | undefined
  readonly createVlan: boolean
  /** Where a network of `openstack:<UUID>` is looked up. */
  readonly metadata: MetadataPlace
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

type ChildKeys = z.output<ReturnType<typeof keyed<ReturnType<typeof childShape>>>>

/** What the common keys mean, read with those of a kind. Throws ERR_CONFIG that names the key and the value. */
export function childConfigOf(request: Request, keys: ChildKeys): Omit<ChildConfig, 'mode' | 'mac' | 'hostAccess'> {
  if (keys.createVlan && keys.linkInContainer) {
    throw new CniError('ERR_CONFIG', "Cannot use createVlan: with linkInContainer the master is the pod's own")
  }
  return {
    master: keys.master || undefined,
    vlan: keys.vlan,
    createVlan: keys.createVlan,
    metadata: { folder: keys.openstackMetadata || undefined, root: '' },
    mtuBytes: keys.mtu || undefined,
    masterInContainer: keys.linkInContainer,
    ipamType: request.config.ipam?.type || undefined,
    layer3: layer3Of(keys),
  }
}

/** What the network says of its link counts where the config is silent. Throws the errors of planFor, and ERR_CONFIG where they disagree. */
export function withPlan<Config extends ChildConfig>(
  config: Config,
  request: Request,
  deps: Deps,
): { readonly config: Config; readonly plan: Plan } {
  const plan = planFor(request, deps)
  const { mtuBytes = plan.link.mtuBytes, vlan = plan.link.vlan } = config
  if (vlan !== plan.link.vlan && plan.link.vlan !== undefined) {
    throw new CniError('ERR_CONFIG', `Cannot attach to vlan ${vlan}: "ipam.networks" says ${plan.link.vlan}`)
  }
  return { plan, config: { ...config, mtuBytes, vlan, metadata: { ...config.metadata, root: deps.root } } }
}
