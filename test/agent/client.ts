/** The launcher's side of a connection, as agent/PROTOCOL.md has it: a call goes in, the agent's reply comes out. */
import { connect } from 'node:net'

const helloBytes = 8
const replyHeadBytes = 8
const replyWithinMs = 30_000

export interface AgentCall {
  /** The plugin. */
  readonly name: string
  /** CNI_* variables; others are left out, as the launcher does. */
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly stdin: string
}

export interface AgentReply {
  readonly exitCode: number
  readonly stdout: string
  readonly declined: boolean
}

export function requestOf({ name, environment, stdin }: AgentCall): Buffer {
  const variables = Object.entries(environment).flatMap(([key, value]) =>
    key.startsWith('CNI_') && value !== undefined ? [`${key}=${value}`] : [],
  )
  const head = Buffer.from([name, ...variables].map((text) => `${text}\0`).join(''))
  const input = Buffer.from(stdin)
  const lengths = Buffer.alloc(8)
  lengths.writeUInt32LE(head.length + input.length, 0)
  lengths.writeUInt32LE(head.length, 4)
  return Buffer.concat([lengths, head, input])
}

/** Rejects when the agent is not there, or ends the connection without a whole reply. */
export async function callAgent(path: string, call: AgentCall): Promise<AgentReply> {
  return await new Promise((resolve, reject) => {
    const socket = connect(path)
    let received: Buffer = Buffer.alloc(0)
    let asked = false
    socket.setTimeout(replyWithinMs, () => socket.destroy(new Error(`no reply within ${replyWithinMs} ms`)))
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('the connection ended without a reply')))
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      if (!asked && received.length >= helloBytes) {
        asked = true
        const hello = received.toString('latin1', 0, helloBytes)
        if (hello !== 'berth\0\x01\0') socket.destroy(new Error(`not the hello of an agent: ${JSON.stringify(hello)}`))
        received = received.subarray(helloBytes)
        socket.write(requestOf(call))
      }
      if (!asked || received.length < replyHeadBytes) return
      const length = received.readUInt32LE(0)
      if (received.length < replyHeadBytes + length) return
      resolve({
        declined: received[4] === 1,
        exitCode: received[5] ?? 0,
        stdout: received.toString('utf8', replyHeadBytes, replyHeadBytes + length),
      })
      socket.destroy()
    })
  })
}
