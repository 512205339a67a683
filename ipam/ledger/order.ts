/**
 * The order in which free addresses of a span are given, in a small file (ipam/FORMAT.md).
 *
 * It only saves the search. What is held is told by the addresses' names alone: whoever takes an address from here asks
 * there first. So the file is never synced, and a stale, damaged or missing one costs time and nothing else: entries of
 * held addresses are passed over, and free ones that it does not know are found by a look at all names when it runs out.
 */
import { closeSync, constants, openSync, readdirSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { formatIp, type Ip, parseIp, type Span, spanContains } from '../../shared/address.ts'
import type { AttachmentKey } from '../../shared/cni/request.ts'
import { isErrno, replaceUnsynced, sizeOf } from '../../shared/disk.ts'
import { log } from '../../shared/log.ts'
import { messageOf } from '../../shared/message.ts'
import { attachmentName, orderGives } from './names.ts'
import {
  appendTo,
  type Entry,
  entryAt,
  freedBy,
  openOrder,
  parseEntry,
  readAt,
  removeIdle,
  renderEntry,
  type Tail,
} from './order-lines.ts'
import type { Order, OrderWish } from './store.ts'

/** `berth-order 1 next <address> head <byte>`, spaces, line feed. */
const headerBytes = 128
const header = /^berth-order 1 next (\S+) head ([0-9]{1,15}) *\n/
/** What is read at a time; a busy node's file is smaller. */
const chunkBytes = 65_536
/** An entry's line is no longer: a time, an address, an attachment's name. */
const lineMaxBytes = 320
/** How far back an attachment's own addresses are looked for, and the turns of those that were freed twice. */
const tailBytes = 16_384
/**
 * How far back is looked for what rests, in steps; some 10 000 releases. When more than that rest, those freed before them are the
 * next to have rested: one that was given out of turn and freed there may be given too early, by what is left of its rest.
 */
const restingMaxBytes = 64 * tailBytes

/** What fails here costs a search later: it must not fail a claim that is written, or a release on a full disk. */
function orWarn(what: string, work: () => void): void {
  try {
    work()
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) log('warn', `cannot ${what}: ${messageOf(error)}`)
  }
}

interface Freed {
  readonly space: string
  readonly ip: Ip
}

/**
 * Notes in every order that gives the addresses that they are free from now on. Before their names go: a kill between the two must
 * not lose them.
 */
export function noteFreed(directory: string, freed: readonly Freed[], key: AttachmentKey, nowMs: number): void {
  orWarn(`note in "${directory}" what is free`, () => {
    for (const name of readdirSync(directory)) {
      const lines = freed
        .filter(({ space, ip }) => orderGives(name, space, ip))
        .map(({ ip }) => renderEntry(nowMs, ip, attachmentName(key)))
      if (lines.length > 0)
        orWarn(`note in "${name}" what is free`, () => appendTo(`${directory}/${name}`, lines.join('')))
    }
  })
}

/** Looks for free addresses of the span that the file does not know, outside `blocked`. */
type Refill = (nowMs: number, blocked: readonly Span[]) => readonly Ip[]

/** What a file says of itself; one that says nothing, or what cannot be of this span, begins anew. */
function readHeader(bytes: Buffer, size: number, span: Span): { next: bigint; head: number } {
  const [, text = '', head = ''] = header.exec(bytes.toString('latin1')) ?? []
  const ip = parseIp(text)
  const known = ip !== undefined && spanContains(span, ip) ? ip.value : undefined
  const next = text === 'none' ? span.last + 1n : known
  if (next === undefined) return { next: span.first, head: headerBytes }
  return { next, head: Number(head) > size ? headerBytes : Math.max(headerBytes, Number(head)) }
}

export class FileOrder implements Order {
  readonly #path: string
  readonly #span: Span
  readonly #refill: Refill
  /** The lowest address that was never given; beyond the span when there is none. */
  #next: bigint
  /** Where the longest-freed entry starts; everything before it is used up. */
  #head: number
  /** Bytes of the file when it was opened; what is freed after that is for the next one who opens it. */
  #size: number
  #chunk: Buffer
  #chunkAt: number
  /** When it was last taken from. */
  #nowMs: number | undefined

  constructor(path: string, span: Span, refill: Refill) {
    this.#path = path
    this.#span = span
    this.#refill = refill
    const opened = openOrder(path, headerBytes, chunkBytes, (bytes, size) => readHeader(bytes, size, span))
    this.#next = opened.header.next
    this.#head = opened.header.head
    this.#size = opened.size
    this.#chunk = opened.chunk
    this.#chunkAt = opened.at
  }

  *candidates(wish: OrderWish): Generator<Ip> {
    // Freed addresses may be blocked: who asked for a reserved one frees it too, and a damaged file says anything.
    const mayGive = (ip: Ip): boolean =>
      spanContains(this.#span, ip) && !wish.blocked.some((span) => spanContains(span, ip))
    this.#nowMs = wish.nowMs
    for (const ip of this.#known(wish)) if (mayGive(ip)) yield ip
    const found = this.#refill(wish.nowMs, wish.blocked)
    if (found.length === 0) return
    const entries = found.map((ip) => renderEntry(0, ip, '-'))
    this.#head = headerBytes
    orWarn(`save "${this.#path}"`, () => replaceUnsynced(this.#path, this.#header(headerBytes) + entries.join('')))
    this.#size = sizeOf(this.#path)
    this.#chunk = Buffer.alloc(0)
    this.#chunkAt = 0
    for (const [index, ip] of found.entries()) {
      this.#head += entries[index]?.length ?? 0
      yield ip
    }
  }

  /** Those that the file knows, and those never given; which of them may not be given is not looked at. */
  *#known({ key, blocked, coolDownMs, nowMs }: OrderWish): Generator<Ip> {
    const tail = this.#tail()
    yield* freedBy(attachmentName(key), tail)
    // A time to come is a clock set back since: nobody knows how long it rested.
    const rested = ({ freedAtMs }: Entry): boolean => freedAtMs > nowMs || freedAtMs + coolDownMs <= nowMs
    let resting: Buffer | undefined
    const rests = (ip: Ip): boolean => {
      resting ??= this.#resting(tail, rested)
      const index = resting.lastIndexOf(` ${formatIp(ip)} `)
      const entry = index < 0 ? undefined : entryAt(resting, index)
      return entry !== undefined && !rested(entry)
    }
    // Given out of turn, to who asked for it say, and freed again: the later entry says when. One that has rested by now and stands
    // further back than the tail is not seen: then the address comes in the turn of its first freeing, and it has rested all the same.
    const isFreedLater = (ip: Ip): boolean => {
      const index = tail.text.lastIndexOf(` ${formatIp(ip)} `)
      return (index >= 0 && tail.at + index >= this.#head) || rests(ip)
    }
    for (let entry = this.#front(); entry !== undefined && rested(entry); entry = this.#front()) {
      const ip = this.#take(entry)
      if (!isFreedLater(ip)) yield ip
    }
    for (const ip of this.#neverGiven(blocked)) if (!rests(ip)) yield ip
    for (let entry = this.#front(); entry !== undefined; entry = this.#front()) yield this.#take(entry)
  }

  save(): void {
    const directory = dirname(this.#path)
    const nowMs = this.#nowMs
    // Configs that change make new orders: whoever makes one removes those that nobody uses any more.
    if (nowMs !== undefined && this.#size === 0) {
      orWarn(`remove what is idle in "${directory}"`, () => removeIdle(directory, nowMs))
    }
    orWarn(`save "${this.#path}"`, () => this.#save())
  }

  #save(): void {
    const usedUp = this.#head - headerBytes
    // Rewritten when more is used up than left: the file stays small, and a claim pays for one entry of it on average.
    if (this.#size < headerBytes || (usedUp > chunkBytes && usedUp > sizeOf(this.#path) - this.#head)) {
      const rest = readAt(this.#path, this.#head, Number.MAX_SAFE_INTEGER)
      replaceUnsynced(this.#path, this.#header(headerBytes) + rest.toString('utf8'))
      return
    }
    const fd = openSync(this.#path, constants.O_WRONLY | constants.O_NOFOLLOW)
    try {
      writeSync(fd, this.#header(this.#head), 0, 'latin1')
    } finally {
      closeSync(fd)
    }
  }

  #header(head: number): string {
    const next = this.#next > this.#span.last ? 'none' : formatIp({ family: this.#span.family, value: this.#next })
    return `${`berth-order 1 next ${next} head ${head}`.padEnd(headerBytes - 1)}\n`
  }

  /** Makes the chunk hold `length` bytes from `at` on, as far as there are any. */
  #load(at: number, length: number): void {
    const end = Math.min(at + length, this.#size)
    if (this.#chunkAt <= at && end <= this.#chunkAt + this.#chunk.length) return
    this.#chunk = readAt(this.#path, at, Math.max(length, chunkBytes))
    this.#chunkAt = at
  }

  /** The longest-freed entry; what is no entry is passed over. */
  #front(): Entry | undefined {
    for (;;) {
      this.#load(this.#head, lineMaxBytes)
      const from = this.#head - this.#chunkAt
      const end = this.#chunk.indexOf(10, from)
      if (end < 0) {
        const rest = this.#chunk.length - from
        const isEnd = rest < lineMaxBytes || (rest === lineMaxBytes && this.#head + rest >= this.#size)
        // A part of a line, or, where there is too much of it, zeros that a power cut left.
        if (isEnd) return undefined
        this.#head += rest
        continue
      }
      const line = this.#chunk.subarray(from, end)
      const entry = parseEntry(line)
      if (entry !== undefined) return entry
      this.#head += line.length + 1
    }
  }

  #take({ ip, bytes }: Entry): Ip {
    this.#head += bytes
    return ip
  }

  /** Addresses never given, from the lowest; whole blocked spans are jumped over, never walked. */
  *#neverGiven(blocked: readonly Span[]): Generator<Ip> {
    const { family, last } = this.#span
    while (this.#next <= last) {
      const ip: Ip = { family, value: this.#next }
      const jump = blocked.find((span) => spanContains(span, ip))
      this.#next = jump === undefined ? this.#next + 1n : jump.last + 1n
      if (jump === undefined) yield ip
    }
  }

  /** The end of the file from before the first entry that still rests, but no more than restingMaxBytes of it. */
  #resting(tail: Tail, rested: (entry: Entry) => boolean): Buffer {
    for (let window = tailBytes; ; window *= 4) {
      const at = window === tailBytes ? tail.at : Math.max(this.#head, this.#size - window)
      const text = window === tailBytes ? tail.text : readAt(this.#path, at, this.#size - at)
      if (at <= this.#head || window >= restingMaxBytes) return text
      // Amid the file it begins within a line.
      const first = entryAt(text, text.indexOf(10) + 1)
      if (first !== undefined && rested(first)) return text
    }
  }

  /** What was freed last. */
  #tail(): Tail {
    const at = Math.max(this.#head, this.#size - tailBytes)
    const whole = this.#chunkAt <= at && this.#size <= this.#chunkAt + this.#chunk.length
    return { at, text: whole ? this.#chunk.subarray(at - this.#chunkAt) : readAt(this.#path, at, tailBytes) }
  }
}
