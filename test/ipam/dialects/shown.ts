/** Plans of configs, and their parts as a table of a test can show them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import type { DialectInput } from '../../../ipam/dialects/dialect.ts'
import { planFor } from '../../../ipam/dialects/index.ts'
import type { FixedAddress, Plan, Range } from '../../../ipam/plan.ts'
import { formatCidr, formatIp, type Ip, type Span } from '../../../shared/address.ts'
import { failureOf } from '../../shared/failures.ts'

/** The plan of a config of the network "net". */
export const planIn = (dialect: string, ipam: object, more: Partial<DialectInput> = {}): Plan =>
  planFor({ network: 'net', runtimeRanges: undefined, defaults: undefined, ...more, ipam: { dialect, ...ipam } })

/** The message of the refusal of a config, which must be an ERR_CONFIG. */
export function refusalIn(dialect: string, ipam: object, more: Partial<DialectInput> = {}): string {
  const { errorName, code, message } = failureOf(() => planIn(dialect, ipam, more))
  if (errorName !== 'ERR_CONFIG' || code !== 7) throw new Error(`the config was refused with ${errorName} ${code}`)
  return message
}

export const spanText = ({ family, first, last }: Span): string =>
  [first, last].map((value) => formatIp({ family, value })).join('-')

export const ipText = (ip: Ip | undefined): string => (ip === undefined ? 'none' : formatIp(ip))

/** `10.0.0.0/24: 10.0.0.1-10.0.0.254 via 10.0.0.1`, and after it what is excluded and reserved when there is any. */
export function shownRange({ network, span, gateway, excluded, reserved }: Range): string {
  const parts = [`${formatCidr(network)}: ${spanText(span)}`]
  if (gateway !== undefined) parts.push(`via ${formatIp(gateway)}`)
  if (excluded.length > 0) parts.push(`without ${excluded.map(spanText).join(', ')}`)
  if (reserved.length > 0) parts.push(`reserved ${reserved.map(spanText).join(', ')}`)
  return parts.join(' ')
}

export const shownSets = ({ rangeSets }: Plan): string[][] => rangeSets.map((set) => set.map(shownRange))

export const shownFixed = ({ fixed }: Plan): string[] =>
  fixed.map(({ address, gateway, space }: FixedAddress) => `${formatCidr(address)} via ${ipText(gateway)} in ${space}`)

/** A document of the users, test/fixtures/. */
export const fixture = (name: string): unknown =>
  parse(readFileSync(join(import.meta.dirname, '..', '..', 'fixtures', `${name}.yaml`), 'utf8'))
