/** The keys of berth-macvlan, their defaults, and what a call makes of them. */
import * as z from 'zod/mini'
import { CniError } from '../../shared/cni/errors.ts'
import { keyed, nearMisses, readKeys, textOrNone, uint32 } from '../../shared/cni/keys.ts'
import { netConfKeys } from '../../shared/cni/netconf.ts'
import type { Request } from '../../shared/cni/request.ts'
import type { MacvlanMode } from '../../shared/host/links.ts'

/** The three ways that the reference plugins read: 02:00:00:00:00:01, 02-00-00-00-00-01 and 0200.0000.0001. */
const macText = /^[0-9a-f]{2}(?:(?::[0-9a-f]{2}){5}|(?:-[0-9a-f]{2}){5})$|^[0-9a-f]{4}(?:\.[0-9a-f]{4}){2}$/

export const macvlanShape = {
  master: textOrNone,
  mode: z._default(z.enum(['', 'bridge', 'private', 'vepa', 'passthru']), 'bridge'),
  mtu: z._default(uint32, 0),
  mac: textOrNone,
  linkInContainer: z._default(z.boolean(), false),
  bcqueuelen: z._default(uint32, 0),
}
const schema = keyed(macvlanShape)

/** What the keys mean, for the README's table (scripts/tables.ts). */
export const macvlanKeyDocs: Record<keyof typeof macvlanShape, string> = {
  master: 'parent link; none named: the link of the default route',
  mode: '`bridge`, `private`, `vepa` or `passthru`; empty means `bridge`',
  mtu: "bytes, 0 to the master's MTU; 0: the master's",
  mac: 'MAC of the link; `runtimeConfig.mac`, `args.cni.mac` and CNI_ARGS `MAC` go before it; none: a random one',
  linkInContainer: "the master is looked for in the pod's namespace",
  bcqueuelen: "length of the master's broadcast queue; 0: the kernel's default",
}

export interface MacvlanConfig {
  /** The parent link; undefined: that of the default route. */
  readonly master: string | undefined
  readonly mode: MacvlanMode
  /** Undefined: as large as the master's. */
  readonly mtuBytes: number | undefined
  /** Lower case, colons; undefined: a random one. */
  readonly mac: string | undefined
  readonly masterInContainer: boolean
  readonly broadcastQueueLength: number | undefined
  /** The `ipam.type`; undefined: no addresses, layer 2 only. */
  readonly ipamType: string | undefined
}

/**
 * The MAC asked for, from the first place that names one: runtimeConfig, args.cni, CNI_ARGS (deprecated in favour of it,
 * CONVENTIONS.md), the config's own key. The reference bridge plugin has this order, and requested addresses have it too.
 */
function wantedMac({ config, args }: Request, own: string): string | undefined {
  const mac = [config.runtimeConfig?.mac, config.args?.cni?.mac, args.MAC, own].find(
    (text) => text !== undefined && text !== '',
  )
  if (mac === undefined) return undefined
  const refuse = (why: string): never => {
    throw new CniError('ERR_CONFIG', `Cannot use mac ${JSON.stringify(mac)}: ${why}`)
  }
  const lower = mac.toLowerCase()
  if (!macText.test(lower)) refuse('write six bytes as "02:00:00:00:00:01"')
  const bytes = lower.match(/[0-9a-f]{2}/g) ?? []
  if ((Number.parseInt(lower.slice(0, 2), 16) & 1) === 1) refuse('it is a multicast address')
  if (bytes.every((byte) => byte === '00')) refuse('it is all zeros')
  return bytes.join(':')
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
    ipamType: request.config.ipam?.type || undefined,
  }
}

export const macvlanKeyWarnings = ({ raw }: Request): string[] =>
  nearMisses(raw, [...Object.keys(macvlanShape), ...netConfKeys], '')
