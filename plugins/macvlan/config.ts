/** The keys of berth-macvlan, their defaults, and what a call makes of them. */

import { keyed, nearMisses, readKeys, textOrNone, uint32 } from '../../shared/cni/keys.ts'
import { netConfKeys } from '../../shared/cni/netconf.ts'
import type { Request } from '../../shared/cni/request.ts'
import * as z from '../../shared/cni/schema.ts'
import type { MacvlanMode } from '../../shared/host/links.ts'
import { type ChildConfig, childConfigOf, childKeyDocs, childShape } from '../child/config.ts'
import { wantedMac } from '../mac.ts'

/** A function, as layer3Shape. */
export const macvlanShape = () => ({
  ...childShape(),
  mode: z._default(z.enum(['', 'bridge', 'private', 'vepa', 'passthru']), 'bridge'),
  mac: textOrNone,
  bcqueuelen: z._default(uint32, 0),
  hostAccess: z._default(z.boolean(), false),
})
const makeSchema = () => keyed(macvlanShape())
let schema: ReturnType<typeof makeSchema> | undefined

/** What the keys mean, for the README's table (scripts/tables.ts). */
export const macvlanKeyDocs: Record<keyof ReturnType<typeof macvlanShape>, string> = {
  ...childKeyDocs,
  mode: '`bridge`, `private`, `vepa` or `passthru`; empty means `bridge`',
  mac: 'MAC of the link; `runtimeConfig.mac`, CNI_ARGS `MAC` and `args.cni.mac` go before it; none: a random one; `fromIP`: made of the first address',
  hostAccess:
    'the node and the pod reach each other, which a master and its macvlans by themselves do not; needs mode `bridge`, `ipam`, and the master on the node',
  bcqueuelen: "length of the master's broadcast queue; 0: the kernel's default",
}

export interface MacvlanConfig extends ChildConfig {
  readonly mode: MacvlanMode
  readonly broadcastQueueLength: number | undefined
}

/** Reads the config. Throws ERR_CONFIG that names the key and the value. */
export function macvlanConfig(request: Request): MacvlanConfig {
  schema ??= makeSchema()
  const keys = readKeys(schema, request.raw, '')
  return {
    ...childConfigOf(request, keys),
    mode: keys.mode === '' ? 'bridge' : keys.mode,
    mac: wantedMac(request, keys.mac),
    broadcastQueueLength: keys.bcqueuelen || undefined,
    hostAccess: keys.hostAccess,
  }
}

export const macvlanKeyWarnings = ({ raw }: Request): string[] =>
  nearMisses(raw, [...Object.keys(macvlanKeyDocs), ...netConfKeys], '')
