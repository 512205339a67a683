/**
 * How config objects are read: keys match case-insensitively as in the reference library (`RuntimeConfig`), an exact
 * match wins, null is absence, unknown keys are left to others, and a near miss of a known key is worth a warning.
 */

import { CniError } from './errors.ts'
import * as z from './schema.ts'

const isObject = (raw: unknown): raw is Record<string, unknown> =>
  typeof raw === 'object' && raw !== null && !Array.isArray(raw)

/** The value of a key, however its capitals are; undefined when there is none. */
export function keyValue(raw: unknown, key: string): unknown {
  if (!isObject(raw)) return undefined
  if (Object.hasOwn(raw, key) && raw[key] !== null) return raw[key]
  const lower = key.toLowerCase()
  const spelled = Object.keys(raw).find((other) => other.toLowerCase() === lower && raw[other] !== null)
  return spelled === undefined ? undefined : raw[spelled]
}

/**
 * The values of objects under the names that their schema knows; what it does not know is dropped. A walk of its own before
 * zod's: a transform in every object schema made two more schemas of each, and those are what a cold start waits for.
 */
function foldKeys(schema: z.$ZodType, raw: unknown): unknown {
  const def = (schema as z.$ZodTypes)._zod.def
  if (def.type === 'optional' || def.type === 'default') return foldKeys(def.innerType, raw)
  if (def.type === 'array') return Array.isArray(raw) ? raw.map((value) => foldKeys(def.element, value)) : raw
  if (def.type !== 'object' || !isObject(raw)) return raw
  const folded: Record<string, unknown> = {}
  for (const [key, inner] of Object.entries(def.shape)) {
    const value = keyValue(raw, key)
    if (value !== undefined) folded[key] = foldKeys(inner, value)
  }
  return folded
}

/** An object schema for readKeys, which matches its keys as this module says. */
export const keyed = <Shape extends z.$ZodShape>(shape: Shape) => z.object(shape, { error: 'must be an object' })

// Schemas that many keys share: each costs its making in every call.
export const text = z.string()
export const optionalText = z.optional(text)
/** A text that may be absent, which is the same as an empty one. */
export const textOrNone = z._default(text, '')
export const texts = z.array(text)
/** The kernel keeps MTUs, metrics and the like in 32 bits. */
export const uint32 = z.int(z.gte(0), z.lte(0xffffffff))

/** A value as messages quote it. */
const spell = (value: unknown): string => JSON.stringify(value)?.slice(0, 200) ?? 'nothing'

const valueAt = (raw: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((value, key) => (Array.isArray(value) ? value[Number(key)] : keyValue(value, String(key))), raw)

/** What stands at a place that a schema complains of, as messages quote it. */
export const spellAt = (raw: unknown, path: readonly PropertyKey[]): string => spell(valueAt(raw, path))

/** Reads `raw` by `schema`; throws ERR_CONFIG that names the key (below `where`), the value and what it must be. */
export function readKeys<Schema extends z.$ZodType>(schema: Schema, raw: unknown, where: string): z.output<Schema> {
  const read = z.safeParse(schema, foldKeys(schema, raw))
  if (read.success) return read.data
  const issue = read.error.issues[0]
  const path = issue?.path ?? []
  const name = [where, ...path.map(String)].filter((part) => part !== '').join('.')
  const value = spellAt(raw, path)
  throw new CniError('ERR_CONFIG', `Cannot read "${name || 'the config'}": ${value}: ${issue?.message ?? 'is invalid'}`)
}

/** Words of a schema's complaint where it gives none of its own; and no code generation, which pays only when warm. */
z.config({
  jitless: true,
  customError: (issue) => {
    if (issue.code === 'invalid_type') return `must be ${issue.expected === 'int' ? 'a whole number' : issue.expected}`
    if (issue.code === 'too_small') return `must be ${issue.minimum} or more`
    if (issue.code === 'too_big') return `must be ${issue.maximum} or less`
    if (issue.code === 'invalid_value') {
      // An empty text, where it is allowed, stands for an absent key.
      return `must be one of ${issue.values.filter((value) => value !== '').join(', ')}`
    }
    return undefined
  },
})

/** How many slips make one text of the other: a letter too many, too few, another one, or two neighbours swapped. */
function editDistance(typed: string, known: string): number {
  let before: number[] = []
  let row = Array.from({ length: known.length + 1 }, (_, column) => column)
  for (let line = 1; line <= typed.length; line++) {
    const next = [line]
    for (let column = 1; column <= known.length; column++) {
      const replaced = (row[column - 1] ?? 0) + (typed[line - 1] === known[column - 1] ? 0 : 1)
      const swap = typed[line - 1] === known[column - 2] && typed[line - 2] === known[column - 1]
      const swapped = swap ? (before[column - 2] ?? line) + 1 : Number.POSITIVE_INFINITY
      next.push(Math.min(replaced, swapped, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1))
    }
    before = row
    row = next
  }
  return row.at(-1) ?? 0
}

/** More slips than this make another word; in a short word already two do. */
const slipsMax = 2
const shortWordMaxLetters = 4

/** One warning for each key of `raw` that is not known but nearly so; short keys are never near anything. */
export function nearMisses(raw: unknown, known: readonly string[], where: string): string[] {
  if (!isObject(raw)) return []
  const lowered = new Set(known.map((key) => key.toLowerCase()))
  return Object.keys(raw).flatMap((key) => {
    const typed = key.toLowerCase()
    if (lowered.has(typed)) return []
    const [nearest] = known
      .filter((candidate) => candidate.length > 3 && Math.abs(candidate.length - typed.length) <= slipsMax)
      .map((candidate) => ({ candidate, slips: editDistance(typed, candidate.toLowerCase()) }))
      .sort((a, b) => a.slips - b.slips)
    const allowed = typed.length > shortWordMaxLetters ? slipsMax : 1
    if (nearest === undefined || nearest.slips > allowed) return []
    return [`unknown key "${where}${key}" is ignored; did you mean "${nearest.candidate}"?`]
  })
}
