/** The keys of berth-macvlan, their defaults, and what a call makes of them. */

import { keyed, nearMisses, readKeys, textOrNone, uint32 } from '../../shared/cni/keys.ts'
import { netConfKeys } from '../../shared/cni/netconf.ts'
import type { Request } from '../../shared/cni/request.ts'
import * as z from '../../shared/cni/schema.ts'
import type { MacvlanMode } from '../../shared/host/links.ts'
import { type Layer3, layer3KeyDocs, layer3Of, layer3Shape } from '../layer3.ts'
import { wantedMac } from './mac.ts'

export const macvlanShape = {
  master: textOrNone,
  mode: z._default(z.enum(['', 'bridge', 'private', 'vepa', 'passthru']), 'bridge'),
  mtu: z._default(uint32, 0),
  mac: textOrNone,
  linkInContainer: z._default(z.boolean(), false),
  bcqueuelen: z._default(uint32, 0),
  hostAccess: z._default(z.boolean(), false),
  ...layer3Shape,
}
const schema = keyed(macvlanShape)

/** What the keys mean, for the README's table (scripts/tables.ts). */
export const macvlanKeyDocs: Record<keyof typeof macvlanShape, string> = {
  master: 'parent link; none named: the link of the default route',
  mode: '`bridge`, `private`, `vepa` or `passthru`; empty means `bridge`',
  mtu: "bytes, 0 to the master's MTU; 0: the master's",
  mac: 'MAC of the link; `runtimeConfig.mac`, CNI_ARGS `MAC` and `args.cni.mac` go before it; none: a random one; `fromIP`: made of the first address',
  linkInContainer: "the master is looked for in the pod's namespace",
  hostAccess:
    'the node and the pod reach each other, which a master and its macvlans by themselves do not; needs mode `bridge`, `ipam`, and the master on the node',
  ...layer3KeyDocs,
  bcqueuelen: "length of the master's broadcast queue; 0: the kernel's default",
}

export interface MacvlanConfig {
  /** The parent link; undefined: that of the default route. */
  readonly master: string | undefined
  readonly mode: MacvlanMode
  /** Undefined: as large as the master's. */
  readonly mtuBytes: number | undefined
  /** Lower case, colons; 'fromIP': made of the first address; undefined: a random one. */
  readonly mac: string | undefined
  readonly masterInContainer: boolean
  readonly broadcastQueueLength: number | undefined
  readonly hostAccess: boolean
  /** The `ipam.type`; undefined: no addresses, layer 2 only. */
  readonly ipamType: string | undefined
  readonly layer3: Layer3
}

/** Reads the config. Throws ERR_CONFIG that names the key and the value. */
export function macvlanConfig(request: Request): MacvlanConfig {
  const keys = readKeys(schema, request.raw, '')
  return {
    master: keys.master || undefined,
    mode: keys.mode === '' ? 'bridge' : keys.mode,
    mtuBytes: keys.mtu || undefined,
    mac: wantedMac(request, keys.mac),
    masterInContainer: keys.linkInContainer,
    broadcastQueueLength: keys.bcqueuelen || undefined,
    hostAccess: keys.hostAccess,
    ipamType: request.config.ipam?.type || undefined,
    layer3: layer3Of(keys),
  }
}

export const macvlanKeyWarnings = ({ raw }: Request): string[] =>
  nearMisses(raw, [...Object.keys(macvlanShape), ...netConfKeys], '')
