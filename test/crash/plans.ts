/** The plans of the twin, once for the IPAM and once in the model's words: small ranges that overlap, and run out. */
import { defaultSpace, emptyPlan, mergeSpans, type Plan, type Range } from '../../ipam/plan.ts'
import { fixedOf, type RangeWish, rangeOf, spanOf } from '../ipam/plans.ts'
import type { ModelPlan, ModelRange } from './model.ts'

const coolDownMs = 30_000

interface Piece {
  readonly subnet: string
  /** The last parts of the first and last address, and of those between that are not given unasked. */
  readonly first: number
  readonly last: number
  readonly never?: readonly number[]
  readonly wish?: RangeWish
}

const prefixOf = ({ subnet }: Piece): string => (subnet.includes(':') ? 'fd00::' : '10.0.0.')

function modelRange(piece: Piece, space: string): ModelRange {
  const { first, last, never = [] } = piece
  const numbers = Array.from({ length: last - first + 1 }, (_, index) => first + index)
  const texts = numbers.filter((one) => !never.includes(one)).map((one) => `${space} ${prefixOf(piece)}${one}`)
  return { order: `${space} ${prefixOf(piece)}${first}-${last}`, gives: texts }
}

function realRange(piece: Piece, space: string): Range {
  const bounds = { start: `${prefixOf(piece)}${piece.first}`, end: `${prefixOf(piece)}${piece.last}` }
  // Not those that complain when they are looked at often.
  const excluded = mergeSpans((piece.wish?.excluded ?? []).map(spanOf))
  return { ...rangeOf(piece.subnet, { ...piece.wish, ...bounds }), excluded, space }
}

interface Wish {
  readonly sets: readonly (readonly Piece[])[]
  readonly space?: string
  readonly fixed?: string
  readonly keepMs?: number
}

export interface TwinPlan {
  readonly model: ModelPlan
  readonly real: Plan
  /** Its attachments ask for an address. */
  readonly asks: boolean
}

function twin(network: string, { sets, space = defaultSpace, fixed, keepMs }: Wish, asks = false): TwinPlan {
  return {
    model: {
      network,
      sets: sets.map((set) => set.map((piece) => modelRange(piece, space))),
      fixed: fixed === undefined ? [] : [`${space} ${fixed}`],
      coolDownMs,
      keepMs,
    },
    real: {
      ...emptyPlan,
      rangeSets: sets.map((set) => set.map((piece) => realRange(piece, space))),
      fixed: fixed === undefined ? [] : [fixedOf(`${fixed}/28`)],
      coolDownMs,
      keepMs,
    },
    asks,
  }
}

const subnet = '10.0.0.0/28'
const v6: Piece = { subnet: 'fd00::/125', first: 1, last: 5 }
const blocked = { never: [1, 3, 5], wish: { gateway: '10.0.0.1', excluded: ['10.0.0.3'], reserved: ['10.0.0.5'] } }

export const plans: readonly TwinPlan[] = [
  twin('small', { sets: [[{ subnet, first: 1, last: 6, ...blocked }]] }),
  twin('dual', { sets: [[{ subnet, first: 4, last: 12 }], [v6]] }),
  twin('pieces', {
    sets: [
      [
        { subnet, first: 2, last: 4 },
        { subnet, first: 8, last: 10 },
      ],
    ],
  }),
  twin('apart', { sets: [[{ subnet, first: 1, last: 4 }]], space: 'tenant' }),
  twin('fixed', { sets: [], fixed: '10.0.0.9' }),
  // Not a whole number of seconds: no clock of the twin ever stands at the very end of the time.
  twin('sticky', { sets: [[{ subnet, first: 1, last: 12 }]], keepMs: 120_500 }),
  twin('asks', { sets: [[{ subnet, first: 4, last: 12 }], [v6]] }, true),
]

/** The ranges of all plans, by their orders. */
export const orders = [...new Set(plans.flatMap(({ model }) => model.sets.flat().map(({ order }) => order)))]
