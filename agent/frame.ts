/** What goes over the socket between launcher and agent, byte for byte (agent/PROTOCOL.md). Pure. */

import type { Reply } from '../plugins/dispatch.ts'

/** Sent at once to whoever connects: the mark, and the version of everything that follows. */
export const hello = Buffer.from('berth\0\x01\0', 'latin1')

const headMaxBytes = 16 * 1024
const inputMaxBytes = 1024 * 1024
const lengthsBytes = 8
const replyHeadBytes = 8

/** A CNI call as the launcher has it. */
export interface CallFrame {
  /** The name the plugin was called by. */
  readonly name: string
  readonly environment: Readonly<Record<string, string>>
  readonly stdin: string
}

/** What came over the socket is no request. */
class FrameError extends Error {}

function parseHead(head: Buffer): Pick<CallFrame, 'name' | 'environment'> {
  if (head.at(-1) !== 0) throw new FrameError('the head does not end in a zero byte')
  const [name = '', ...variables] = head.toString('utf8', 0, head.length - 1).split('\0')
  const environment: Record<string, string> = {}
  for (const variable of variables) {
    const equals = variable.indexOf('=')
    const key = variable.slice(0, Math.max(0, equals))
    if (!key.startsWith('CNI_')) throw new FrameError(`${JSON.stringify(variable.slice(0, 100))} is no CNI_ variable`)
    // Of several with one name getenv(3) sees the first.
    environment[key] ??= variable.slice(equals + 1)
  }
  return { name, environment }
}

function readLengths(bytes: Buffer): { following: number; headBytes: number } {
  const [following, headBytes] = [bytes.readUInt32LE(0), bytes.readUInt32LE(4)]
  if (headBytes > headMaxBytes) throw new FrameError(`a head of ${headBytes} bytes, and at most ${headMaxBytes}`)
  if (following < headBytes || following > headBytes + inputMaxBytes) {
    throw new FrameError(`a request of ${following} bytes with a head of ${headBytes}`)
  }
  return { following, headBytes }
}

/** Collects the bytes of one request. */
export class RequestReader {
  #received = 0
  #chunks: Buffer[] = []
  #lengths: { readonly following: number; readonly headBytes: number } | undefined

  /** The request once its last byte is there, undefined before. Throws FrameError for what can be none. */
  push(chunk: Buffer): CallFrame | undefined {
    this.#chunks.push(chunk)
    this.#received += chunk.length
    if (this.#received < lengthsBytes) return undefined
    this.#lengths ??= readLengths(Buffer.concat(this.#chunks))
    const { following, headBytes } = this.#lengths
    if (this.#received < lengthsBytes + following) return undefined
    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks)
    if (bytes.length > lengthsBytes + following) throw new FrameError('more bytes than the request has')
    const inputAt = lengthsBytes + headBytes
    return { ...parseHead(bytes.subarray(lengthsBytes, inputAt)), stdin: bytes.toString('utf8', inputAt) }
  }
}

export function renderReply({ exitCode, stdout, declined }: Reply): Buffer {
  const output = Buffer.from(stdout)
  const bytes = Buffer.alloc(replyHeadBytes + output.length)
  bytes.writeUInt32LE(output.length, 0)
  bytes[4] = declined === true ? 1 : 0
  bytes[5] = exitCode
  bytes.set(output, replyHeadBytes)
  return bytes
}
