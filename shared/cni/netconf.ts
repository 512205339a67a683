/** The keys that every CNI config may carry, whatever its plugin (SPEC sections 1 and 2, CONVENTIONS.md). */
import * as z from 'zod/mini'
import { keyed } from './keys.ts'

const text = z.string()
const optionalText = z.optional(text)
const textOrNone = z._default(text, '')
const texts = z.optional(z.array(text))

export const dnsSchema = keyed({
  nameservers: texts,
  domain: optionalText,
  search: texts,
  options: texts,
})

/** What a runtime asks for on behalf of a pod, in `runtimeConfig` or `args.cni`. */
const wishesSchema = keyed({ ips: texts, mac: optionalText })

export const netConfSchema = keyed({
  cniVersion: textOrNone,
  name: textOrNone,
  type: textOrNone,
  dns: z.optional(dnsSchema),
  ipam: z.optional(keyed({ type: textOrNone })),
  runtimeConfig: z.optional(wishesSchema),
  args: z.optional(keyed({ cni: z.optional(wishesSchema) })),
  prevResult: z.optional(z.unknown()),
  'cni.dev/valid-attachments': z.optional(z.array(keyed({ containerID: text, ifname: text }))),
})

/** The common part of a config, after parsing. `''` stands for an absent text. */
export type NetConf = z.output<typeof netConfSchema>

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
