/**
 * The static dialect: the config itself names the addresses. Unlike with the peer they are recorded, so that two attachments
 * cannot both have one.
 */

import { keyed, readKeys, text, textOrNone } from '../../shared/cni/keys.ts'
import { dnsSchema } from '../../shared/cni/netconf.ts'
import { routesSchema } from '../../shared/cni/result.ts'
import * as z from '../../shared/cni/schema.ts'
import type { Plan } from '../plan.ts'
import { berthKeyDocs, berthShape, finishPlan, readFixed, readRouters } from './common.ts'
import type { Dialect, DialectInput } from './dialect.ts'

export const staticShape = () => ({
  addresses: z._default(z.array(keyed({ address: text, gateway: textOrNone })), []),
  routes: z._default(routesSchema, []),
  dns: z._default(dnsSchema, {}),
})

/** What the keys mean, for the README's table (scripts/tables.ts). */
export const staticKeyDocs: Record<keyof ReturnType<typeof staticShape>, string> = {
  addresses: '`{address: "10.0.0.5/24", gateway}`, each recorded within the network; none: those that were asked for',
  routes: '`{dst, gw, mtu, advmss, priority, table, scope}`; without `gw` through the first gateway of the family',
  dns: '`{nameservers, domain, search, options}`, passed on in the result',
}

const makeSchema = () => keyed({ ...berthShape(), ...staticShape() })
let schema: ReturnType<typeof makeSchema> | undefined

function plan({ ipam, network }: DialectInput): Plan {
  schema ??= makeSchema()
  const config = readKeys(schema, ipam, 'ipam')
  const { routes, dns } = config
  const routers = readRouters(routes)
  const fixed = readFixed(config.addresses, () => network, routers)
  return finishPlan(config, { rangeSets: [], fixed, space: network, routes, dns, link: {} }, routers)
}

export const staticAddresses: Dialect = {
  name: 'static',
  plan,
  keys: [...Object.keys(berthKeyDocs), ...Object.keys(staticKeyDocs)],
}
