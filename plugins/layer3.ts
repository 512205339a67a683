/**
 * The keys of a main plugin that say how a link with addresses is to behave: the same for every plugin that makes one.
 */

import { CniError } from '../shared/cni/errors.ts'
import { keyed, readKeys, uint32 } from '../shared/cni/keys.ts'
import * as z from '../shared/cni/schema.ts'

/** A function: each schema costs its making, and a DEL or a call of berth-ipam needs none of these. */
export const layer3Shape = () => ({
  acceptRA: z.optional(z.boolean()),
  dad: z._default(z.enum(['off', 'optimistic', 'wait']), 'off'),
  announce: z._default(z.boolean(), true),
  // Two kinds of value; the second one's schema is made when one is there.
  sourceRouting: z._default(z.unknown(), false),
})

/** What the keys mean, for the README's table (scripts/tables.ts). */
export const layer3KeyDocs: Record<keyof ReturnType<typeof layer3Shape>, string> = {
  acceptRA:
    "take in routers' advertisements (SLAAC addresses, routes); not given: no on a link with addresses, the kernel's default on one without",
  dad: '`off`: IPv6 addresses are usable at once, the ledger vouches for them; `optimistic`: usable at once, and the kernel looks for duplicates behind it; `wait`: ADD waits for that, one to two seconds, and fails for a duplicate',
  announce: 'one gratuitous ARP and unsolicited neighbour advertisement for each address, so that stale caches heal',
  sourceRouting:
    '`true`: what has one of the link\'s addresses as its source leaves through the link, by a table of its own that has the routes of the result and, with a gateway, a default route; `{"table": 100}`: by that table',
}

export interface Layer3 {
  /** Undefined: nothing was asked for. */
  readonly acceptRA: boolean | undefined
  readonly dad: 'off' | 'optimistic' | 'wait'
  readonly announce: boolean
  /** Undefined: routes stand in the main table. A table of 0 is the link's own, numbered as its interface index is. */
  readonly sourceRouting: { readonly table: number } | undefined
}

/** RT_TABLE_* of linux/rtnetlink.h: a rule into one of these would say nothing about the source. */
const sharedTables = [253, 254, 255]

function readSourceRouting(value: unknown): Layer3['sourceRouting'] {
  if (typeof value === 'boolean') return value ? { table: 0 } : undefined
  const { table } = readKeys(keyed({ table: z._default(uint32, 0) }), value, 'sourceRouting')
  if (sharedTables.includes(table)) {
    const why = "it is one of the kernel's own (default 253, main 254, local 255)"
    throw new CniError('ERR_CONFIG', `Cannot use sourceRouting.table ${table}: ${why}`)
  }
  return { table }
}

/** What the keys mean, read with those of a plugin. Throws ERR_CONFIG that names the key and the value. */
export function layer3Of(keys: z.output<ReturnType<typeof keyed<ReturnType<typeof layer3Shape>>>>): Layer3 {
  return {
    acceptRA: keys.acceptRA,
    dad: keys.dad,
    announce: keys.announce,
    sourceRouting: readSourceRouting(keys.sourceRouting),
  }
}
