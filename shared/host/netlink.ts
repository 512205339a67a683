/**
 * rtnetlink: building messages, and sending a batch of them in one system call (RFC 3549; linux/netlink.h).
 *
 * A socket belongs to the namespace it was opened in. Calls block: the kernel answers an ADD's messages within
 * microseconds; only the removal of a link waits (for RCU), tens of milliseconds.
 */
import { closeSync, readSync, writeSync } from 'node:fs'
import type { Family } from '../address.ts'
import { CniError } from '../cni/errors.ts'
import { isErrno } from '../disk.ts'
import { SystemError } from './libc.ts'
import { beStrict, openNetlink } from './sockets.ts'

const NLM_F_REQUEST = 1
const NLM_F_ACK = 4
const NLM_F_REPLACE = 0x100
const NLM_F_EXCL = 0x200
const NLM_F_DUMP = 0x300
const NLM_F_CREATE = 0x400
const NLMSG_ERROR = 2
const NLMSG_DONE = 3
/** Set in an error answer that carries attributes with the kernel's words (linux/netlink.h). */
const NLM_F_ACK_TLVS = 0x200
const NLMSGERR_ATTR_MSG = 1
const headerBytes = 16

/**
 * What is received, one answer of the kernel at a time; reading is synchronous, so one buffer serves all sockets. A shorter
 * one would cut an answer silently: the kernel builds dumps of at most 32 KiB.
 */
const received = Buffer.allocUnsafeSlow(65536)

/** `create`: it must be new; `add`: beside what is there; `replace`: in its place; `dump`: all of a kind. */
export const netlinkFlags = {
  create: NLM_F_CREATE | NLM_F_EXCL,
  add: NLM_F_CREATE,
  replace: NLM_F_CREATE | NLM_F_REPLACE,
  dump: NLM_F_DUMP,
}

/** Who made a rule or a route: a number above those of linux/rtnetlink.h, so that no other tool's is taken for ours. */
export const ownProtocol = 201

/** The kernel's number of an address family (linux/socket.h). */
export const addressFamily = (family: Family): number => (family === 4 ? 2 : 10)

/** More answers than a socket's receive buffer holds would be lost, and the last one with them. */
const batchMaxMessages = 64

const align = (bytes: number): number => (bytes + 3) & ~3

/** One request under construction. Numbers are in host byte order, which is little endian on all we build for. */
export class Message {
  readonly #type: number
  readonly #flags: number
  #bytes = Buffer.alloc(256)
  #end = headerBytes

  constructor(type: number, flags = 0) {
    this.#type = type
    this.#flags = flags
  }

  get isDump(): boolean {
    return (this.#flags & NLM_F_DUMP) === NLM_F_DUMP
  }

  #reserve(bytes: number): number {
    const start = this.#end
    this.#end += align(bytes)
    if (this.#end > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(this.#end)])
    return start
  }

  /** Appends the fixed part of the request (ifinfomsg, ifaddrmsg, rtmsg). */
  fixed(bytes: Uint8Array): this {
    const start = this.#reserve(bytes.length)
    this.#bytes.set(bytes, start)
    return this
  }

  attribute(type: number, payload: Uint8Array): this {
    const start = this.#reserve(4 + payload.length)
    this.#bytes.writeUInt16LE(4 + payload.length, start)
    this.#bytes.writeUInt16LE(type, start + 2)
    this.#bytes.set(payload, start + 4)
    return this
  }

  u32(type: number, value: number): this {
    const payload = Buffer.alloc(4)
    payload.writeUInt32LE(value)
    return this.attribute(type, payload)
  }

  u16(type: number, value: number): this {
    const payload = Buffer.alloc(2)
    payload.writeUInt16LE(value)
    return this.attribute(type, payload)
  }

  /** A NUL-terminated text. */
  text(type: number, value: string): this {
    return this.attribute(type, Buffer.from(`${value}\0`))
  }

  /** An attribute made of the attributes that `fill` appends. */
  nested(type: number, fill: (message: Message) => void): this {
    const start = this.#reserve(4)
    fill(this)
    this.#bytes.writeUInt16LE(this.#end - start, start)
    this.#bytes.writeUInt16LE(type, start + 2)
    return this
  }

  finish(sequence: number, acknowledge: boolean): Buffer {
    const bytes = this.#bytes.subarray(0, this.#end)
    bytes.writeUInt32LE(this.#end, 0)
    bytes.writeUInt16LE(this.#type, 4)
    bytes.writeUInt16LE(NLM_F_REQUEST | this.#flags | (acknowledge ? NLM_F_ACK : 0), 6)
    bytes.writeUInt32LE(sequence, 8)
    return bytes
  }
}

/** An answer of the kernel; `body` starts after the netlink header. */
export interface Answer {
  readonly type: number
  readonly flags: number
  readonly sequence: number
  readonly body: Buffer
}

/** The attributes of an answer, from `offset` of its body. */
export function readAttributes(body: Buffer, offset: number): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>()
  for (let at = offset; at + 4 <= body.length; ) {
    const length = body.readUInt16LE(at)
    if (length < 4 || at + length > body.length) break
    // The two highest bits are flags (nested, byte order), not part of the type.
    attributes.set(body.readUInt16LE(at + 2) & 0x3fff, body.subarray(at + 4, at + length))
    at += align(length)
  }
  return attributes
}

export function* splitAnswers(bytes: Buffer): Generator<Answer> {
  for (let at = 0; at + headerBytes <= bytes.length; ) {
    const length = bytes.readUInt32LE(at)
    if (length < headerBytes || at + length > bytes.length) {
      throw new CniError('ERR_KERNEL', `Cannot read an answer of the kernel: it is longer than ${bytes.length} bytes`)
    }
    const body = bytes.subarray(at + headerBytes, at + length)
    yield {
      type: bytes.readUInt16LE(at + 4),
      flags: bytes.readUInt16LE(at + 6),
      sequence: bytes.readUInt32LE(at + 8),
      body,
    }
    at += align(length)
  }
}

function toSystemError(what: string, answer: Answer): SystemError | undefined {
  const errno = -answer.body.readInt32LE(0)
  if (errno === 0) return undefined
  // With NETLINK_CAP_ACK an error answer is the number and the request's header, then the attributes.
  const words =
    answer.flags & NLM_F_ACK_TLVS ? readAttributes(answer.body, 4 + headerBytes).get(NLMSGERR_ATTR_MSG) : undefined
  return new SystemError(what, errno, words?.toString('utf8').replace(/\0.*$/s, ''))
}

/** What an answer says of the request with this number: refused and why, or done; undefined when it says nothing of it. */
export function verdictOf(what: string, answer: Answer, sequence: number): SystemError | 'done' | undefined {
  if (answer.sequence !== sequence) return undefined
  if (answer.type === NLMSG_DONE) return 'done'
  return answer.type === NLMSG_ERROR ? (toSystemError(what, answer) ?? 'done') : undefined
}

/** What one step of a batch is called in an error, and its message. */
export interface Step {
  readonly what: string
  readonly message: Message
  /** Names of errors that are as good as success: of a removal, that there is nothing to remove. */
  readonly allowed?: readonly string[]
}

export class NetlinkSocket implements Disposable {
  readonly #fd: number = openNetlink()
  #sequence = 0
  #isStrict = false

  /** Sends one request and returns its answers. Throws SystemError when the kernel refuses it. */
  request(what: string, message: Message): Answer[] {
    return this.batch([{ what, message }])
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }

  /** As request, for what is answered once or refused: nothing acknowledges it. */
  ask(what: string, message: Message): Answer {
    writeSync(this.#fd, message.finish(++this.#sequence, false))
    for (;;) {
      for (const answer of splitAnswers(received.subarray(0, this.#receive()))) {
        if (answer.sequence !== this.#sequence) continue
        const refusal = verdictOf(what, answer, this.#sequence)
        if (refusal instanceof SystemError) throw refusal
        return { ...answer, body: Buffer.from(answer.body) }
      }
    }
  }

  /**
   * Sends the messages, up to `batchMaxMessages` in one system call; the kernel works through them in order and goes on
   * after an error. Throws the first error of a call, and then makes no further one.
   */
  batch(steps: readonly Step[]): Answer[] {
    const answers: Answer[] = []
    for (let done = 0; done < steps.length; done += batchMaxMessages) {
      answers.push(...this.#sendAndReceive(steps.slice(done, done + batchMaxMessages)))
    }
    return answers
  }

  /** Only the last message asks for an acknowledgement, which says that the others are done as well. */
  #sendAndReceive(steps: readonly Step[]): Answer[] {
    if (!this.#isStrict && steps.some(({ message }) => message.isDump)) {
      beStrict(this.#fd)
      this.#isStrict = true
    }
    const first = this.#sequence + 1
    const last = this.#sequence + steps.length
    writeSync(
      this.#fd,
      Buffer.concat(steps.map(({ message }) => message.finish(++this.#sequence, this.#sequence === last))),
    )
    const answers: Answer[] = []
    let failure: SystemError | undefined
    for (;;) {
      const length = this.#receive()
      for (const answer of splitAnswers(received.subarray(0, length))) {
        if (answer.sequence < first || answer.sequence > last) continue
        const done = answer.type === NLMSG_DONE || answer.type === NLMSG_ERROR
        const step = steps[answer.sequence - first]
        if (answer.type === NLMSG_ERROR) {
          const error = toSystemError(step?.what ?? '', answer)
          if (error !== undefined && step?.allowed?.includes(error.code) !== true) failure ??= error
        } else if (!done) answers.push({ ...answer, body: Buffer.from(answer.body) })
        if (!done || answer.sequence !== last) continue
        if (failure !== undefined) throw failure
        return answers
      }
    }
  }

  #receive(): number {
    try {
      return readSync(this.#fd, received)
    } catch (error) {
      if (!isErrno(error, 'EAGAIN')) throw error
      throw new CniError('ERR_KERNEL', 'Cannot read an answer of the kernel: it has lost it', { cause: error })
    }
  }
}
