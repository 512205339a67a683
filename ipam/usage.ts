/**
 * How much of its ranges each network uses, by the names in the directory of leases alone: no record is read and no lock is taken. The
 * names come in small pieces, between which the process does other things.
 */
import { opendir } from 'node:fs/promises'
import { formatIp, type Ip, type Span } from '../shared/address.ts'
import { isErrno } from '../shared/disk.ts'
import { blockedOf } from './decide.ts'
import { leasesPath, toIoError } from './ledger/directory.ts'
import { isAttachmentName, networkOfKept, parseAddressName, parseAttachmentName } from './ledger/names.ts'
import type { Plan, Range } from './plan.ts'

const networksMax = 1024
/** Ranges and exclusions of all plans together: a config may name any number of them. */
const spansMax = 16_384
/** Names that are looked at without a pause: a fraction of a millisecond. */
const namesAtOnce = 256
/** What is counted of networks beyond `networksMax`. */
const otherNetworks = 'other'

const weightOf = ({ rangeSets }: Plan): number =>
  rangeSets.flat().reduce((sum, { excluded, reserved }) => sum + 1 + excluded.length + reserved.length, 0)

/** The plan that each network was last claimed by; those that were not claimed by for longest are forgotten when there are too many. */
export class KnownPlans {
  readonly #plans = new Map<string, { readonly plan: Plan; readonly weight: number }>()
  #weight = 0

  note(network: string, plan: Plan): void {
    const weight = weightOf(plan)
    if (weight === 0 || weight > spansMax) return
    this.#forget(network)
    this.#plans.set(network, { plan, weight })
    this.#weight += weight
    while (this.#plans.size > networksMax || this.#weight > spansMax) {
      const [oldest] = this.#plans.keys()
      if (oldest !== undefined) this.#forget(oldest)
    }
  }

  #forget(network: string): void {
    this.#weight -= this.#plans.get(network)?.weight ?? 0
    this.#plans.delete(network)
  }

  *ranges(): Generator<{ readonly network: string; readonly range: Range }, void> {
    for (const [network, { plan }] of this.#plans) for (const range of plan.rangeSets.flat()) yield { network, range }
  }
}

interface RangeUsage {
  readonly network: string
  /** `10.0.0.10-10.0.0.19`. */
  readonly range: string
  /** Of those that are given unasked. */
  readonly held: number
  readonly free: number
}

export interface Usage {
  /** Attachments on record, by network. */
  readonly attachments: ReadonlyMap<string, number>
  /** Those of them that are gone and whose addresses are kept for their pods. */
  readonly kept: ReadonlyMap<string, number>
  /** Addresses that are held or kept, of all networks, by family: `4` and `6`. */
  readonly leases: ReadonlyMap<string, number>
  readonly ranges: readonly RangeUsage[]
}

/** The parts of a range that are given unasked. */
function* piecesOf(range: Range): Generator<Span, void> {
  const { family, last } = range.span
  let { first } = range.span
  for (const blocked of blockedOf(range)) {
    if (blocked.last < first) continue
    if (blocked.first > last) break
    if (blocked.first > first) yield { family, first, last: blocked.first - 1n }
    first = blocked.last + 1n
  }
  if (first <= last) yield { family, first, last }
}

/** How many of `bounds`, which are sorted, are not above the value. */
function countUpTo(bounds: readonly bigint[], value: bigint): number {
  let [low, high] = [0, bounds.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((bounds[middle] ?? 0n) <= value) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * Counts addresses between bounds, each in the cell that begins at the last bound not above it: what it costs does not grow with the
 * addresses in a range, nor much with the number of ranges.
 */
class Cells {
  readonly #bounds: readonly bigint[]
  readonly #counts: Float64Array
  /** How many are in a cell and in those before it, once all are counted. */
  #sums: Float64Array | undefined

  constructor(pieces: readonly Span[]) {
    const bounds = new Set(pieces.flatMap(({ first, last }) => [first, last + 1n]))
    this.#bounds = [...bounds].sort((a, b) => (a < b ? -1 : 1))
    this.#counts = new Float64Array(this.#bounds.length + 1)
  }

  add(value: bigint): void {
    const cell = countUpTo(this.#bounds, value)
    this.#counts[cell] = (this.#counts[cell] ?? 0) + 1
  }

  within({ first, last }: Span): number {
    let sum = 0
    this.#sums ??= this.#counts.map((count) => {
      sum += count
      return sum
    })
    return (this.#sums[countUpTo(this.#bounds, last)] ?? 0) - (this.#sums[countUpTo(this.#bounds, first) - 1] ?? 0)
  }
}

const cellsKey = (space: string, family: number): string => `${family} ${space}`

/** Counts of the ranges that are known. */
class RangeCounts {
  readonly #ranges: { readonly network: string; readonly range: Range; readonly pieces: readonly Span[] }[] = []
  readonly #cells = new Map<string, Cells>()

  constructor(plans: KnownPlans) {
    const pieces = new Map<string, Span[]>()
    for (const { network, range } of plans.ranges()) {
      const own = [...piecesOf(range)]
      this.#ranges.push({ network, range, pieces: own })
      const key = cellsKey(range.space, range.span.family)
      const all = pieces.get(key)
      if (all === undefined) pieces.set(key, [...own])
      else all.push(...own)
    }
    for (const [key, all] of pieces) this.#cells.set(key, new Cells(all))
  }

  add(space: string, ip: Ip): void {
    this.#cells.get(cellsKey(space, ip.family))?.add(ip.value)
  }

  *usage(): Generator<RangeUsage, void> {
    for (const { network, range, pieces } of this.#ranges) {
      const { family, first, last } = range.span
      const cells = this.#cells.get(cellsKey(range.space, family))
      const held = pieces.reduce((sum, piece) => sum + (cells?.within(piece) ?? 0), 0)
      const all = pieces.reduce((sum, piece) => sum + Number(piece.last - piece.first + 1n), 0)
      const [from, to] = [first, last].map((value) => formatIp({ family, value }))
      yield { network, range: `${from}-${to}`, held, free: all - held }
    }
  }
}

function countOne(counts: Map<string, number>, network: string): void {
  const name = counts.has(network) || counts.size < networksMax ? network : otherNetworks
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

/** Calls `each` with every name of a directory; none when it is not there. Throws ERR_IO. */
async function eachNameIn(path: string, each: (name: string) => void): Promise<void> {
  try {
    await using directory = await opendir(path, { bufferSize: namesAtOnce })
    for (let entry = await directory.read(); entry !== null; entry = await directory.read()) each(entry.name)
  } catch (error) {
    // Nothing was ever claimed.
    if (!isErrno(error, 'ENOENT')) throw toIoError(`list "${path}"`, error)
  }
}

/** Counts what is there now; names that come or go meanwhile may be in it or not. Throws ERR_IO. */
export async function countUsage(dataDir: string, plans: KnownPlans): Promise<Usage> {
  const [attachments, kept] = [new Map<string, number>(), new Map<string, number>()]
  const ranges = new RangeCounts(plans)
  const leases = new Map([4, 6].map((family) => [String(family), 0]))
  await eachNameIn(leasesPath(dataDir), (name) => {
    const keptFor = networkOfKept(name)
    if (keptFor !== undefined) countOne(kept, keptFor)
    else if (isAttachmentName(name)) countOne(attachments, parseAttachmentName(name)?.network ?? otherNetworks)
    else {
      const address = parseAddressName(name)
      if (address === undefined) return
      countOne(leases, String(address.ip.family))
      ranges.add(address.space, address.ip)
    }
  })
  return { attachments, kept, leases, ranges: [...ranges.usage()] }
}
