/** The keys that every CNI config may carry, whatever its plugin (SPEC sections 1 and 2, CONVENTIONS.md). */
import * as z from 'zod/mini'
import { keyed } from './keys.ts'

const text = z.string()

export const dnsSchema = keyed({
  nameservers: z.optional(z.array(text)),
  domain: z.optional(text),
  search: z.optional(z.array(text)),
  options: z.optional(z.array(text)),
})

export const netConfSchema = keyed({
  cniVersion: z._default(text, ''),
  name: z._default(text, ''),
  type: z._default(text, ''),
  dns: z.optional(dnsSchema),
  ipam: z.optional(keyed({ type: z._default(text, '') })),
  runtimeConfig: z.optional(keyed({ ips: z.optional(z.array(text)), mac: z.optional(text) })),
  args: z.optional(keyed({ cni: z.optional(keyed({ ips: z.optional(z.array(text)), mac: z.optional(text) })) })),
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
