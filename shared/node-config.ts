/** berth.conf: what an administrator says for all networks of a node. Written by the installer, read by the IPAM. */
import { keyed, keyValue, readKeys, uint32 } from './cni/keys.ts'
import * as z from './cni/schema.ts'

/**
 * The folders for configs of a node, as distributions have them; the first with a berth.conf counts. The usual one comes last: it may be left
 * from something before, and the installer knows the distributions in this order, too.
 */
export const confDirs = {
  k3s: '/var/lib/rancher/k3s/agent/etc/cni/net.d',
  microK8s: '/var/snap/microk8s/current/args/cni-network',
  openShift: '/etc/kubernetes/cni/net.d',
  usual: '/etc/cni/net.d',
} as const

/** Our folder in one of them. */
export const ownConfName = 'berth.d'
export const nodeConfigName = 'berth.conf'

const shapes = () => ({
  cooldownSeconds: z.optional(uint32),
  sticky: z.optional(z.boolean()),
  stickyRetentionSeconds: z.optional(uint32),
  conflictCheck: z.optional(z.boolean()),
})

/** What the keys of `ipam` are when a network's config does not have them. */
export type IpamDefaults = z.output<ReturnType<typeof keyed<ReturnType<typeof shapes>>>>

let schema: z.$ZodType<{ ipam?: IpamDefaults | undefined }> | undefined

/** Reads parsed JSON. Throws ERR_CONFIG that names key and value; keys of a later version are left alone. */
export function readNodeConfig(raw: unknown): IpamDefaults {
  schema ??= keyed({ ipam: z.optional(keyed(shapes())) })
  return readKeys(schema, raw, '').ipam ?? {}
}

/** Keys that mean nothing, `ipam.stiky` say. */
export function unknownKeys(raw: unknown): string[] {
  const keysOf = (value: unknown): string[] => (typeof value === 'object' && value !== null ? Object.keys(value) : [])
  const known = Object.keys(shapes()).map((key) => key.toLowerCase())
  return [
    ...keysOf(raw).filter((key) => key.toLowerCase() !== 'ipam'),
    ...keysOf(keyValue(raw, 'ipam'))
      .filter((key) => !known.includes(key.toLowerCase()))
      .map((key) => `ipam.${key}`),
  ]
}
