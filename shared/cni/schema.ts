/**
 * The makers of zod's schemas that this program needs, named as those of zod/mini, on the classes of zod's core that zod/mini
 * stands on as well. What zod/mini adds is a dozen methods on each class, which every start would wait for: a third of the time that
 * schemas cost a call.
 */
import {
  _refine,
  type $strict,
  type $strip,
  $ZodArray,
  $ZodBoolean,
  type $ZodCheck,
  $ZodCustom,
  $ZodDefault,
  $ZodEnum,
  $ZodLiteral,
  $ZodNever,
  $ZodNumber,
  $ZodNumberFormat,
  $ZodObject,
  $ZodOptional,
  type $ZodShape,
  $ZodString,
  type $ZodType,
  $ZodUnknown,
  type output,
} from 'zod/v4/core'

export {
  _gte as gte,
  _lte as lte,
  _regex as regex,
  type $ZodShape,
  type $ZodType,
  type $ZodTypes,
  config,
  type output,
  safeParse,
} from 'zod/v4/core'

export const boolean = () => new $ZodBoolean({ type: 'boolean' })
export const number = () => new $ZodNumber({ type: 'number' })
export const unknown = () => new $ZodUnknown({ type: 'unknown' })

/** A text that passes the checks. */
export const string = (...checks: $ZodCheck<string>[]) => new $ZodString({ type: 'string', checks })

/** A whole number that passes the checks. */
export const int = (...checks: $ZodCheck<number>[]) =>
  new $ZodNumberFormat({ type: 'number', check: 'number_format', format: 'safeint', abort: false, checks })

/** A check of one's own. */
export const refine = <Value>(holds: (value: Value) => boolean) => _refine<Value>($ZodCustom, holds, {})

export const literal = <const Value extends string | number>(value: Value) =>
  new $ZodLiteral({ type: 'literal', values: [value] }) as $ZodLiteral<Value>

const enumeration = <const Values extends readonly string[]>(values: Values) =>
  new $ZodEnum({
    type: 'enum',
    entries: Object.fromEntries(values.map((value) => [value, value])),
  }) as unknown as $ZodEnum<{ [Name in Values[number]]: Name }>

export { enumeration as enum }

export const array = <Schema extends $ZodType>(element: Schema) =>
  new $ZodArray({ type: 'array', element }) as $ZodArray<Schema>

export const optional = <Schema extends $ZodType>(innerType: Schema) =>
  new $ZodOptional({ type: 'optional', innerType }) as $ZodOptional<Schema>

const copyOf = <Value>(value: Value): Value =>
  Array.isArray(value) ? ([...value] as Value) : typeof value === 'object' ? { ...value } : value

/** What an absent value stands for: text, number or truth value, or an empty list or object, of which each reader gets its own. */
export const _default = <Schema extends $ZodType>(innerType: Schema, value: output<Schema>) =>
  new $ZodDefault({
    type: 'default',
    innerType,
    get defaultValue() {
      return copyOf(value)
    },
  }) as $ZodDefault<Schema>

/** An object of which what the shape does not know is dropped. `error` is what is said of a value that is no object. */
export const object = <Shape extends $ZodShape>(shape: Shape, { error }: { readonly error: string }) =>
  new $ZodObject({ type: 'object', shape, error: () => error }) as $ZodObject<Shape, $strip>

/** An object with nothing but what the shape knows. */
export const strictObject = <Shape extends $ZodShape>(shape: Shape) =>
  new $ZodObject({ type: 'object', shape, catchall: new $ZodNever({ type: 'never' }) }) as $ZodObject<Shape, $strict>
