/**
 * The agent's side of a connection: hello, one request, one reply. What is refused is refused at once, and nobody waits for
 * somebody who says nothing.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { Reply } from '../plugins/dispatch.ts'
import { monotonicMs } from '../shared/clock.ts'
import { type Peer, peerOf } from '../shared/host/peer.ts'
import { log } from '../shared/log.ts'
import { messageOf } from '../shared/message.ts'
import { type CallFrame, hello, RequestReader, renderReply } from './frame.ts'
import type { Line } from './line.ts'

/** From the hello to the last byte of the request; a launcher that lives has it in its hands. */
const requestWithinMs = 10_000
/** Connections that the kernel keeps until they are accepted. */
const backlogMax = 1024

type Answerer = (call: CallFrame, peer: Peer) => Promise<Reply>
/** Hears of every reply, and how many milliseconds after the request it was there. */
type OnAnswered = (call: CallFrame, reply: Reply, ms: number) => void

/** The descriptor of a connection; Node has no public name for it. */
function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle')
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined
  if (typeof fd !== 'number' || fd < 0) throw new Error('a connection has no descriptor')
  return fd
}

/** Who has connected; undefined for one that may not call us: another user than root and ours. */
function admitted(socket: Socket): Peer | undefined {
  const peer = peerOf(descriptorOf(socket))
  if (peer.uid === 0 || peer.uid === process.geteuid?.()) return peer
  log('warn', `process ${peer.pid} of user ${peer.uid} has no business here`)
  return undefined
}

function serve(socket: Socket, peer: Peer, line: Line, answer: Answerer, onAnswered: OnAnswered): void {
  const reader = new RequestReader()
  const patience = setTimeout(() => socket.destroy(), requestWithinMs)
  let call: CallFrame | undefined
  socket.on('close', () => clearTimeout(patience))
  socket.on('data', (chunk: Buffer) => {
    try {
      // After its request a launcher only waits.
      if (call !== undefined) throw new Error('bytes after the request')
      call = reader.push(chunk)
      if (call === undefined) return
    } catch (error) {
      log('warn', `process ${peer.pid}: ${messageOf(error)}`)
      socket.destroy()
      return
    }
    clearTimeout(patience)
    const whole = call
    const sinceMs = monotonicMs()
    line.join({
      isGone: () => socket.destroyed,
      run: () => answer(whole, peer),
      // It knows how much comes, and waits for no end.
      reply: (reply) => {
        socket.write(renderReply(reply), () => socket.destroy())
        onAnswered(whole, reply, monotonicMs() - sinceMs)
      },
    })
  })
  socket.write(hello)
}

/** A server that listens nowhere yet. Its connections get in line with their requests. */
export function callServer(line: Line, answer: Answerer, onAnswered: OnAnswered): Server {
  const server = createServer((socket) => {
    // One that breaks is closed; its call goes on, as that of a killed process would not: a DEL finds what it made.
    socket.on('error', (error) => log('debug', `connection: ${error.message}`))
    try {
      const peer = admitted(socket)
      if (peer === undefined) socket.destroy()
      else serve(socket, peer, line, answer, onAnswered)
    } catch (error) {
      log('warn', `connection: ${messageOf(error)}`)
      socket.destroy()
    }
  })
  return server
}

/** Listens at a path or a port, which must not be in use. Throws what bind(2) and listen(2) fail with. */
export async function listenAt(server: Server, at: string | { port: number; host?: string }): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    const { port, host } = typeof at === 'string' ? {} : at
    const where = typeof at === 'string' ? { path: at } : { port, host }
    server.listen({ ...where, backlog: backlogMax }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
