/**
 * What whereabouts has given out in a cluster: the `allocations` of its IPPool objects, offset -> who. Pure.
 *
 * Its pools are called `[<network_name>-][<node>-]<range>`, the last part with `-` for `:` and `/`.
 */
import * as z from 'zod/mini'
import { type Cidr, cidrNetwork, cidrSpan, parseCidr, spanContains } from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { spellAt } from '../../shared/cni/keys.ts'
import type { Found, Skipped } from './take-over.ts'

/** What it gave before it wrote the interface down: Multus calls a pod's first secondary interface so. */
const assumedIfName = 'net1'

const allocationSchema = z.object({ id: z.string(), podref: z.optional(z.string()), ifname: z.optional(z.string()) })
const poolSchema = z.object({
  kind: z.literal('IPPool'),
  metadata: z.object({ name: z.string() }),
  spec: z.object({
    range: z.string().check(z.refine((range) => parseCidr(range) !== undefined, { error: 'not a range' })),
    // No allocation is written as no key, or as null.
    allocations: z.optional(z.nullable(z.record(z.string(), z.unknown()))),
  }),
})

export interface Pool {
  readonly name: string
  /** The part of its name before its range: a `network_name`, a node, or both; '' when it has none. */
  readonly prefix: string
  /** Offsets count from its address. */
  readonly range: Cidr
  readonly allocations: readonly (readonly [string, unknown])[]
}

const kindOf = (object: unknown): unknown =>
  typeof object === 'object' && object !== null && 'kind' in object ? object.kind : undefined

const isList = (object: unknown): object is { readonly items: readonly unknown[] } =>
  typeof object === 'object' && object !== null && 'items' in object && Array.isArray(object.items)

/** The pools among Kubernetes objects, those in lists as well; others are passed over. Throws ERR_DECODE for one that cannot be read. */
export function readPools(objects: readonly unknown[]): Pool[] {
  const all = objects.flatMap((object) => (isList(object) ? object.items : [object]))
  const pools = all.filter((object) => kindOf(object) === 'IPPool').map(readPool)
  if (pools.length === 0) throw new CniError('ERR_DECODE', 'Cannot import: there is no IPPool in the input')
  return pools
}

function readPool(object: unknown): Pool {
  const read = z.safeParse(poolSchema, object)
  if (!read.success) {
    const [issue] = read.error.issues
    const path = issue?.path ?? []
    const name = spellAt(object, ['metadata', 'name'])
    const what = `"${path.join('.')}": ${spellAt(object, path)}: ${issue?.message}`
    throw new CniError('ERR_DECODE', `Cannot read the IPPool ${name}: ${what}`)
  }
  const { metadata, spec } = read.data
  const range = parseCidr(spec.range)
  if (range === undefined)
    throw new CniError('ERR_DECODE', `Cannot read the IPPool "${metadata.name}": "${spec.range}" is not a range`)
  const { name } = metadata
  const prefix = prefixOf(name, spec.range)
  return { name, prefix, range, allocations: Object.entries(spec.allocations ?? {}) }
}

function prefixOf(name: string, range: string): string {
  const suffix = range.replace(/[:/]/g, '-')
  if (name === suffix) return ''
  return name.endsWith(`-${suffix}`) ? name.slice(0, -suffix.length - 1) : name
}

interface Whereabouts {
  readonly found: readonly Found[]
  readonly skipped: readonly Skipped[]
  /** Entries without an interface's name, for which `net1` is assumed. */
  readonly assumed: readonly string[]
}

/** Everything that the pools have given out, for attachments of the CNI network `network`. */
export function readAllocations(pools: readonly Pool[], network: string): Whereabouts {
  const assumed: string[] = []
  const read = pools.flatMap((pool) =>
    pool.allocations.map(([offset, raw]): Found | Skipped => {
      const at = `${pool.name}/${offset}`
      const one = readAllocation(pool, offset, raw, network, at)
      if ('key' in one && one.assumed) assumed.push(at)
      return one
    }),
  )
  return {
    found: read.filter((one) => 'key' in one),
    skipped: read.filter((one): one is Skipped => 'why' in one),
    assumed,
  }
}

function readAllocation(
  { range }: Pool,
  offset: string,
  raw: unknown,
  network: string,
  at: string,
): (Found & { readonly assumed: boolean }) | Skipped {
  if (!/^[0-9]{1,39}$/.test(offset)) return { at, why: 'its key is not an offset' }
  const ip = { family: range.ip.family, value: range.ip.value + BigInt(offset) }
  if (!spanContains(cidrSpan(range), ip)) return { at, why: 'its offset leads out of the range' }
  const { success, data } = z.safeParse(allocationSchema, raw)
  if (!success || data.id === '') return { at, why: 'it does not say for which container it is' }
  const [namespace, name, ...more] = (data.podref ?? '').split('/')
  const pod = namespace && name && more.length === 0 ? { pod: { namespace, name } } : {}
  const key = { network, containerId: data.id, ifName: data.ifname || assumedIfName }
  return { at, key, ip, subnet: cidrNetwork(range), ...pod, assumed: !data.ifname }
}
