/** The keys that every CNI config may carry, whatever its plugin (SPEC sections 1 and 2, CONVENTIONS.md). */

import { keyed, keyValue, optionalText, readKeys, text, textOrNone, texts } from './keys.ts'
import * as z from './schema.ts'

const optionalTexts = z.optional(texts)

export const dnsSchema = keyed({
  nameservers: optionalTexts,
  domain: optionalText,
  search: optionalTexts,
  options: optionalTexts,
})

/** What a runtime asks for on behalf of a pod, in `runtimeConfig` or `args.cni`. */
const wishesSchema = keyed({ ips: optionalTexts, mac: optionalText })

/** What a DEL needs of a config. */
const removalShape = {
  cniVersion: textOrNone,
  name: textOrNone,
  type: textOrNone,
  ipam: z.optional(keyed({ type: textOrNone })),
  prevResult: z.optional(z.unknown()),
}

export const netConfSchema = keyed({
  ...removalShape,
  dns: z.optional(dnsSchema),
  runtimeConfig: z.optional(wishesSchema),
  args: z.optional(keyed({ cni: z.optional(wishesSchema) })),
  'cni.dev/valid-attachments': z.optional(z.array(keyed({ containerID: text, ifname: text }))),
})

/** The common part of a config, after parsing. `''` stands for an absent text. */
export type NetConf = z.output<typeof netConfSchema>

/** Reads a config for a DEL: a key that only an ADD would use, and could not, must not keep it from cleaning up. */
export const readRemovalConf = (raw: unknown): NetConf => readKeys(keyed(removalShape), raw, '')

/** What the runtime asks for by the capability `dns` (CONVENTIONS.md); undefined when it does not. */
export function runtimeDns(raw: unknown): z.output<typeof dnsSchema> | undefined {
  const wish = keyValue(keyValue(raw, 'runtimeConfig'), 'dns')
  if (wish === undefined) return undefined
  const schema = keyed({ servers: optionalTexts, searches: optionalTexts, options: optionalTexts })
  const { servers, searches, options } = readKeys(schema, wish, 'runtimeConfig.dns')
  return {
    ...(servers === undefined ? {} : { nameservers: servers }),
    ...(searches === undefined ? {} : { search: searches }),
    ...(options === undefined ? {} : { options }),
  }
}

/** Keys of a config that belong to the runtime or to Multus and deserve no near-miss warning. */
export const netConfKeys = [
  'cniVersion',
  'cniVersions',
  'name',
  'type',
  'dns',
  'ipam',
  'runtimeConfig',
  'capabilities',
  'args',
  'prevResult',
  'disableCheck',
  'disableGC',
] as const
