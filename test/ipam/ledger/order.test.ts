import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { FileOrder, noteFreed } from '../../../ipam/ledger/order.ts'
import { formatIp, type Ip, type Span } from '../../../shared/address.ts'
import { keyOf } from '../../contract/records.ts'
import { ip } from '../../shared/addresses.ts'
import { temporaryDirectory } from '../../shared/temporary.ts'
import { spanOf } from '../plans.ts'

const day = 86_400_000
const nowMs = 1_700_000_000_000
const coolDownMs = 30_000

let folder: string
/** What a look at all names would find. */
let free: Ip[]
let refills: number
beforeEach(() => {
  folder = temporaryDirectory()
  free = []
  refills = 0
})

const spanFrom = (first: string, last: string): Span => ({ ...spanOf(first), last: ip(last).value })
const small = spanFrom('10.0.0.1', '10.0.0.6')
const pathOf = (span: Span): string =>
  `${folder}/${formatIp({ ...span, value: span.first })}-${formatIp({ ...span, value: span.last })}`

const open = (span = small): FileOrder =>
  new FileOrder(pathOf(span), span, () => {
    refills++
    return free
  })

interface Wish {
  readonly span?: Span
  readonly container?: string
  readonly blocked?: readonly Span[]
  readonly nowMs?: number
  readonly coolDownMs?: number
}

/** Takes the first `count` addresses in one stay in the lock. */
function take(count: number, { span = small, container = 'new', ...wish }: Wish = {}): string[] {
  const order = open(span)
  const taken: string[] = []
  const all = order.candidates({ key: keyOf(container), blocked: [], coolDownMs, nowMs, ...wish })
  for (const one of all) {
    taken.push(formatIp(one))
    if (taken.length === count) break
  }
  order.save()
  return taken
}
const all = (wish: Wish = {}): string[] => take(1000, wish)
const freed = (address: string, freedMs: number, container = 'old'): void =>
  noteFreed(folder, [{ space: 'default', ip: ip(address) }], keyOf(container), freedMs)

describe('FileOrder.candidates()', () => {
  it('gives the lowest first, and each once, when nothing was ever given', () => {
    expect(take(2)).toEqual(['10.0.0.1', '10.0.0.2'])
    expect(take(1)).toEqual(['10.0.0.3'])
    expect(all()).toEqual(['10.0.0.4', '10.0.0.5', '10.0.0.6'])
    expect([all(), refills]).toEqual([[], 2])
  })

  it('gives its own, the longest-freed, the never given and the resting ones, in this order', () => {
    take(5)
    freed('10.0.0.2', nowMs - 3 * coolDownMs)
    freed('10.0.0.1', nowMs - 2 * coolDownMs)
    freed('10.0.0.3', nowMs - coolDownMs)
    freed('10.0.0.4', nowMs - coolDownMs + 1)
    freed('10.0.0.5', nowMs - 1, 'own')
    const own = all({ container: 'own' })
    expect(own).toEqual(['10.0.0.5', '10.0.0.2', '10.0.0.1', '10.0.0.3', '10.0.0.6', '10.0.0.4', '10.0.0.5'])
  })

  it('gives of its own the one first that it freed last', () => {
    take(3)
    for (const address of ['10.0.0.2', '10.0.0.3', '10.0.0.1']) freed(address, nowMs, 'own')
    expect(take(3, { container: 'own' })).toEqual(['10.0.0.1', '10.0.0.3', '10.0.0.2'])
  })

  it.each(['ow', 'own2', 'wn'])('gives nothing first when another container, %s, freed it', (container) => {
    take(3)
    freed('10.0.0.2', nowMs, container)
    expect(take(1, { container: 'own' })).toEqual(['10.0.0.4'])
  })

  it('goes by the later time when an address was given out of turn and freed again', () => {
    take(3)
    freed('10.0.0.2', nowMs - 2 * coolDownMs)
    freed('10.0.0.1', nowMs - coolDownMs)
    freed('10.0.0.2', nowMs - 1)
    expect(all()).toEqual(['10.0.0.1', '10.0.0.4', '10.0.0.5', '10.0.0.6', '10.0.0.2'])
  })

  it('lets a freed one rest that was never given by turn', () => {
    take(1)
    freed('10.0.0.2', nowMs)
    expect(all()).toEqual(['10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6', '10.0.0.2'])
  })

  it('gives a freed one at once when nothing rests', () => {
    take(2)
    freed('10.0.0.2', nowMs)
    expect(take(2, { coolDownMs: 0 })).toEqual(['10.0.0.2', '10.0.0.3'])
  })

  it.each([
    ['set back', -day],
    ['set forward', day],
  ])('gives each address once, rested or not, when the clock was %s by a day', (_, byMs) => {
    take(3)
    freed('10.0.0.2', nowMs)
    freed('10.0.0.1', nowMs + byMs)
    expect(all({ nowMs: nowMs + byMs })).toEqual(['10.0.0.2', '10.0.0.4', '10.0.0.5', '10.0.0.6', '10.0.0.1'])
  })
})

describe('FileOrder.candidates() with blocked addresses', () => {
  it('passes over them among the never given, from the ends and amid', () => {
    const blocked = ['10.0.0.0/31', '10.0.0.3', '10.0.0.6'].map(spanOf)
    expect(all({ blocked })).toEqual(['10.0.0.2', '10.0.0.4', '10.0.0.5'])
  })

  it('passes over them among the freed, its own too', () => {
    take(6)
    freed('10.0.0.3', 0)
    freed('10.0.0.2', 0, 'own')
    freed('10.0.0.4', nowMs)
    expect(all({ container: 'own', blocked: [spanOf('10.0.0.2/31')] })).toEqual(['10.0.0.4'])
  })

  it('walks no blocked span when it is half a /64', () => {
    const span = spanFrom('fd00::1', 'fd00::ffff:ffff:ffff:fffe')
    const blocked = [spanOf('fd00::/65'), spanOf('fd00::8000:0:0:2')]
    expect(take(2, { span, blocked })).toEqual(['fd00::8000:0:0:0', 'fd00::8000:0:0:1'])
    expect(take(1, { span, blocked })).toEqual(['fd00::8000:0:0:3'])
  })

  it('gives nothing at once when a whole /64 is blocked', () => {
    expect(all({ span: spanFrom('fd00::1', 'fd00::ff:0:0:0'), blocked: [spanOf('fd00::/64')] })).toEqual([])
  })
})

describe('FileOrder.candidates() when all it knows is used up', () => {
  it('gives what a look at all names finds, and goes on there the next time', () => {
    all()
    free = ['10.0.0.3', '10.0.0.5', '10.0.0.6'].map(ip)
    expect(take(1)).toEqual(['10.0.0.3'])
    expect(take(1)).toEqual(['10.0.0.5'])
    expect(refills).toBe(2)
    free = []
    expect([all(), all(), refills]).toEqual([['10.0.0.6'], [], 4])
  })

  it('looks only when everything else was tried', () => {
    free = ['10.0.0.3'].map(ip)
    take(5)
    freed('10.0.0.2', nowMs)
    expect([take(2), refills]).toEqual([['10.0.0.6', '10.0.0.2'], 0])
  })

  it('goes on with what the look found when the order is used for a second claim', () => {
    all()
    free = ['10.0.0.3', '10.0.0.5'].map(ip)
    const order = open()
    const next = (): unknown =>
      order
        .candidates({ key: keyOf('new'), blocked: [], coolDownMs, nowMs })
        [Symbol.iterator]()
        .next().value
    expect([next(), next()]).toEqual(free)
  })

  it('keeps 4096 of them in their order, which is more than it reads at a time', () => {
    const span = spanFrom('fd00::1', 'fd00::ffff')
    const order = open(span)
    for (const _ of order.candidates({ key: keyOf('new'), blocked: [spanOf('fd00::/64')], coolDownMs, nowMs })) break
    order.save()
    free = Array.from({ length: 4096 }, (_, index): Ip => ({ family: 6, value: span.first + BigInt(index * 3) }))
    expect(take(1, { span })).toEqual(['fd00::1'])
    free = []
    const rest = all({ span })
    expect([rest.length, rest[0], rest.at(-1)]).toEqual([1000, 'fd00::4', 'fd00::bb9'])
    let given = 1001
    for (let more = all({ span }); more.length > 0; more = all({ span })) given += more.length
    expect(given).toBe(4096)
  })
})

describe('FileOrder with many entries', () => {
  const span = spanFrom('10.1.0.1', '10.1.255.254')
  const at = (index: number): string => formatIp({ family: 4, value: span.first + BigInt(index) })
  const container = 'c'.repeat(64)
  const line = (index: number): string => `${nowMs - 100_000 + index} ${at(index)} storage,${container},net1\n`
  const header = `berth-order 1 next none head 128`.padEnd(127)
  const count = 3000

  it('gives all in the order of their freeing over the ends of what is read at a time, and stays small', () => {
    const lines = Array.from({ length: count }, (_, index) => line(index))
    writeFileSync(pathOf(span), `${header}\n${lines.join('')}`)
    const fullBytes = statSync(pathOf(span)).size
    expect(fullBytes).toBeGreaterThan(4 * 65_536)
    const taken: string[] = []
    for (let batch = take(7, { span }); batch.length > 0; batch = take(7, { span })) taken.push(...batch)
    expect(taken).toEqual(lines.map((_, index) => at(index)))
    expect(statSync(pathOf(span)).size).toBeLessThan(fullBytes / 2)
  })

  it('finds what it freed itself at the end of it, and lets what rests there rest', () => {
    writeFileSync(pathOf(span), `${header}\n${Array.from({ length: count }, (_, index) => line(index)).join('')}`)
    noteFreed(folder, [{ space: 'default', ip: ip(at(5000)) }], keyOf('own'), nowMs)
    noteFreed(folder, [{ space: 'default', ip: ip(at(0)) }], keyOf('other'), nowMs)
    expect(take(2, { span, container: 'own' })).toEqual([at(5000), at(1)])
  })

  /** Many that rest, freed one after the other up to now. */
  const resting = (): string =>
    Array.from({ length: count }, (_, index) => line(index).replace(/^\d+/, `${nowMs - count + index}`)).join('')

  it.each([
    ['among a few', 1],
    ['before many others', 0],
  ])('lets an address rest that was freed twice when the later time stands %s that rest', (_, position) => {
    const [early, late] = [`${nowMs - day} ${at(5000)} a\n`, `${nowMs - count} ${at(5000)} a\n`]
    const lines = position === 1 ? late : late + resting()
    writeFileSync(pathOf(span), `${header}\n${early}${nowMs - day} ${at(6000)} a\n${lines}`)
    expect(take(1, { span })).toEqual([at(6000)])
  })

  it('lets what was never given by turn rest when many others rest behind it', () => {
    const next = header.replace('none', at(4999)).padEnd(127).slice(0, 127)
    writeFileSync(pathOf(span), `${next}\n${nowMs - count} ${at(5000)} a\n${resting()}`)
    expect(take(2, { span })).toEqual([at(4999), at(5001)])
  })

  it('loses none that was freed while others were given', () => {
    const lines = Array.from({ length: count }, (_, index) => line(index))
    writeFileSync(pathOf(span), `${header}\n${lines.join('')}`)
    const taken: string[] = []
    for (let round = 0; round < count; round += 10) {
      taken.push(...take(10, { span }))
      noteFreed(folder, [{ space: 'default', ip: ip(at(count + round)) }], keyOf('old'), nowMs - coolDownMs)
    }
    taken.push(...all({ span }))
    const late = Array.from({ length: count / 10 }, (_, index) => at(count + index * 10))
    expect(taken).toEqual([...lines.map((_, index) => at(index)), ...late])
  })
})

describe('FileOrder.save()', () => {
  const [old, other] = [spanFrom('10.9.0.1', '10.9.0.9'), spanFrom('10.8.0.1', '10.8.0.9')]
  const touched = (span: Span, ageMs: number): void =>
    utimesSync(pathOf(span), new Date(), new Date(Date.now() - ageMs))

  it('removes the orders that nobody used for 90 days when it makes a new one, and no others', () => {
    for (const span of [old, other]) take(1, { span })
    touched(old, 90.1 * day)
    touched(other, 89.9 * day)
    mkdirSync(`${folder}/folder`)
    utimesSync(`${folder}/folder`, 0, 0)
    take(1, { nowMs: Date.now() })
    expect(readdirSync(folder)).toHaveLength(3)
    expect(existsSync(pathOf(old))).toBe(false)
  })

  it('leaves them when its own is there already', () => {
    for (const span of [small, old]) take(1, { span })
    touched(old, 100 * day)
    take(1, { nowMs: Date.now() })
    expect(existsSync(pathOf(old))).toBe(true)
  })
})

describe('noteFreed()', () => {
  it('notes the address in every order that gives it, and in no other', () => {
    const spans = [small, spanFrom('10.0.0.2', '10.0.0.2'), spanFrom('10.0.0.3', '10.0.0.9'), spanOf('::10.0.0.0/124')]
    for (const span of spans) all({ span })
    writeFileSync(`${pathOf(small)}@blue`, readFileSync(pathOf(small)))
    freed('10.0.0.2', 0)
    expect(spans.map((span) => all({ span }))).toEqual([['10.0.0.2'], ['10.0.0.2'], [], []])
    expect(readFileSync(`${pathOf(small)}@blue`).length).toBe(128)
  })

  it('does nothing when there is no order', () => {
    expect(() => noteFreed(`${folder}/absent`, [{ space: 'default', ip: ip('10.0.0.1') }], keyOf('a'), 0)).not.toThrow()
  })
})
