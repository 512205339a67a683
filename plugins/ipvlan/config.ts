/** The keys of berth-ipvlan, their defaults, and what a call makes of them. */
import { CniError } from '../../shared/cni/errors.ts'
import { keyed, keyValue, nearMisses, readKeys } from '../../shared/cni/keys.ts'
import { netConfKeys } from '../../shared/cni/netconf.ts'
import type { Request } from '../../shared/cni/request.ts'
import * as z from '../../shared/cni/schema.ts'
import type { IpvlanMode } from '../../shared/host/links.ts'
import { type ChildConfig, childConfigOf, childKeyDocs, childShape } from '../child/config.ts'
import { wantedMac } from '../mac.ts'

/** A function, as layer3Shape. */
export const ipvlanShape = () => ({
  ...childShape(),
  mode: z._default(z.enum(['', 'l2', 'l3', 'l3s']), 'l2'),
})
const makeSchema = () => keyed(ipvlanShape())
let schema: ReturnType<typeof makeSchema> | undefined

/** What the keys mean, for the README's table (scripts/tables.ts). */
export const ipvlanKeyDocs: Record<keyof ReturnType<typeof ipvlanShape>, string> = {
  ...childKeyDocs,
  mode: '`l2`, `l3` or `l3s`, the same for all ipvlans of a master; empty means `l2`',
}

export interface IpvlanConfig extends ChildConfig {
  readonly mode: IpvlanMode
}

/** Reads the config. Throws ERR_CONFIG that names the key and the value. */
export function ipvlanConfig(request: Request): IpvlanConfig {
  schema ??= makeSchema()
  const keys = readKeys(schema, request.raw, '')
  if (keyValue(request.raw, 'hostAccess') === true) {
    throw new CniError('ERR_CONFIG', 'Cannot use hostAccess: it is a key of berth-macvlan, and no ipvlan has it')
  }
  const mac = keyValue(request.raw, 'mac')
  return {
    ...childConfigOf(request, keys),
    mode: keys.mode === '' ? 'l2' : keys.mode,
    mac: wantedMac(request, typeof mac === 'string' ? mac : ''),
    hostAccess: false,
  }
}

export const ipvlanKeyWarnings = ({ raw }: Request): string[] =>
  nearMisses(raw, [...Object.keys(ipvlanKeyDocs), ...netConfKeys], '')
