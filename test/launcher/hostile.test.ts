/** Agents that do not follow the protocol: before the request the program takes over, after it the caller is told to try again. */
import { mkdirSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newestVersion } from '../../shared/cni/versions.ts'
import {
  Agent,
  call,
  type Ended,
  errorOf,
  freshFolder,
  hello,
  helloMs,
  launch,
  prepare,
  programSaid,
  reply,
  replyMs,
  work,
} from './launch.ts'

beforeAll(prepare)
afterAll(() => rmSync(work, { recursive: true, force: true }))

/** What a busy machine may add to a time. */
const slackMs = 2000
const input = Buffer.alloc(300_000, '{"name":"net-a"}')

async function slowly(socket: Socket, bytes: Buffer, everyMs: number): Promise<void> {
  for (const byte of bytes) {
    if (!socket.writable) return
    socket.write(Buffer.from([byte]))
    await pause(everyMs)
  }
}

async function meet(
  accept: (socket: Socket) => void,
  answer?: (socket: Socket) => void,
): Promise<{ done: Ended; agent: Agent }> {
  const folder = freshFolder()
  await using agent = new Agent(join(folder, 'agent.sock'), accept, answer)
  return { done: await launch({ environment: { ...call, BERTH_DATA_DIR: folder }, input }), agent }
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')

/** What it says, and at most how long the launcher listens to that. */
const badHellos: [string, (socket: Socket) => void, number][] = [
  ['says nothing', () => undefined, helloMs],
  ['closes at once', (socket) => socket.destroy(), 0],
  ['ends without a word', (socket) => socket.end(), 0],
  ['says half a hello and closes', (socket) => socket.end(hello.subarray(0, 5)), 0],
  ['says half a hello and waits', (socket) => socket.write(hello.subarray(0, 7)), helloMs],
  ['says its hello too slowly, byte by byte', (socket) => void slowly(socket, hello, helloMs / 4), helloMs],
  ['says its hello too late', (socket) => void pause(helloMs * 1.5).then(() => socket.write(hello)), helloMs],
  ['has another magic', (socket) => socket.write(bytes('birth\0\x01\0')), 0],
  ['has a magic in capitals', (socket) => socket.write(bytes('BERTH\0\x01\0')), 0],
  ['speaks version 0', (socket) => socket.write(bytes('berth\0\x00\0')), 0],
  ['speaks version 2', (socket) => socket.write(bytes('berth\0\x02\0')), 0],
  ['does not end its hello with a zero', (socket) => socket.write(bytes('berth\0\x01\x01')), 0],
  ['speaks HTTP', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'), 0],
]

test.concurrent.each(badHellos)('launcher becomes the program when the agent %s', async (_, accept, atLeastMs) => {
  const { done, agent } = await meet(accept, () => undefined)
  expect(programSaid(done).input.equals(input)).toBe(true)
  expect(done.ms).toBeGreaterThanOrEqual(atLeastMs)
  expect(done.ms).toBeLessThan(atLeastMs + slackMs)
  // Not a byte of the call went to it.
  expect(agent.heard.every((heard) => heard.length === 0)).toBe(true)
})

test('launcher takes a hello that comes in pieces, and an answer that does', async () => {
  const answer = reply({ output: '{"ips":[]}', exitCode: 7 })
  const { done } = await meet(
    (socket) => void slowly(socket, hello, 5),
    (socket) => void slowly(socket, answer, 5),
  )
  expect([done.exitCode, done.stdout.toString()]).toEqual([7, '{"ips":[]}'])
})

const broken = /: it ended the connection before that$/
const wrong = /: its answer is not of this protocol$/
const late = /: no answer in time$/
const big = Buffer.alloc(2 << 20, 'x')

/** What it answers, what the launcher calls that, and at least how long it takes. */
const badAnswers: [string, (socket: Socket) => void, RegExp, number][] = [
  ['closes after the request', (socket) => socket.destroy(), broken, 0],
  ['ends after the request', (socket) => socket.end(), broken, 0],
  ['says half of the head and closes', (socket) => socket.end(reply().subarray(0, 5)), broken, 0],
  ['says the head and not the output', (socket) => socket.end(reply({ size: 10 })), broken, 0],
  ['closes in the output', (socket) => socket.end(reply({ output: 'abc', size: 4 })), broken, 0],
  ['never answers', () => undefined, late, replyMs],
  ['says half of its answer and waits', (socket) => socket.write(reply({ output: 'abc', size: 4 })), late, replyMs],
  ['answers byte by byte, for longer than there is time', (socket) => void drip(socket), late, replyMs],
  ['promises more than the limit', (socket) => socket.write(reply({ size: (1 << 20) + 1 })), wrong, 0],
  ['promises 4 GiB and sends some', (socket) => socket.write(reply({ size: 0xffffffff, output: big })), wrong, 0],
  ['promises what overflows with the head', (socket) => socket.write(reply({ size: 0xfffffff8 })), wrong, 0],
  ['declines with a 2', (socket) => socket.end(reply({ declined: 2 })), wrong, 0],
  ['does not keep the zeros', (socket) => socket.end(reply({ zero: 256 })), wrong, 0],
  ['declines and does not keep the zeros', (socket) => socket.end(reply({ declined: 1, zero: 1 })), wrong, 0],
]

async function drip(socket: Socket): Promise<void> {
  socket.write(reply({ size: 1 << 20 }))
  await slowly(socket, big, replyMs / 10)
}

test.concurrent.each(badAnswers)(
  'launcher says that nobody knows what became of the call when the agent %s',
  async (_, answer, why, atLeastMs) => {
    const { done } = await meet((socket) => socket.write(hello), answer)
    const error = errorOf(done)
    expect(Object.keys(error)).toEqual(['cniVersion', 'code', 'msg'])
    expect([error.cniVersion, error.code]).toEqual([newestVersion, 11])
    expect(error.msg).toMatch(/^Cannot tell what became of the call to the agent at "\/.*\/agent.sock": /)
    expect(error.msg).toMatch(why)
    expect(done.ms).toBeGreaterThanOrEqual(atLeastMs)
    // One deadline for all of it, however the agent spreads its bytes.
    expect(done.ms).toBeLessThan(replyMs + slackMs)
  },
)

test('launcher ignores what follows a complete answer', async () => {
  const { done } = await meet(
    (socket) => socket.write(hello),
    (socket) => socket.write(Buffer.concat([reply({ output: 'abc', exitCode: 2 }), big])),
  )
  expect([done.exitCode, done.stdout.toString()]).toEqual([2, 'abc'])
})

test('launcher ends in time when the agent does not read the request', async () => {
  const { done } = await meet((socket) => socket.write(hello))
  expect(errorOf(done)).toMatchObject({ code: 11, msg: expect.stringMatching(late) })
  expect(done.ms).toBeGreaterThanOrEqual(replyMs)
  expect(done.ms).toBeLessThan(replyMs + slackMs)
})

test('launcher tells the caller to try again when the agent ends in the middle of the request', async () => {
  const folder = freshFolder()
  await using _agent = new Agent(join(folder, 'agent.sock'), (socket) => {
    socket.write(hello)
    // Long enough for the socket to be full, and the launcher to wait.
    setTimeout(() => socket.destroy(), 200)
  })
  const done = await launch({ environment: { ...call, BERTH_DATA_DIR: folder }, input: Buffer.alloc(1 << 20, 'x') })
  expect(errorOf(done)).toMatchObject({ code: 11, msg: expect.stringMatching(broken) })
})

test('launcher becomes the program, with what it has read, when the agent has gone before the request', async () => {
  const folder = freshFolder()
  await using _agent = new Agent(join(folder, 'agent.sock'), (socket) => {
    socket.write(hello)
    setTimeout(() => socket.destroy(), 100)
  })
  // The launcher reads while the agent goes: the restart of an agent, met by a slow runtime.
  const slow = (stdin: NodeJS.WritableStream): void => {
    stdin.write('first ')
    setTimeout(() => stdin.end('second'), 400)
  }
  const done = await launch({ environment: { ...call, BERTH_DATA_DIR: folder }, input: slow })
  expect(programSaid(done).input.toString()).toBe('first second')
})

test.each([0, 1, 5000, 1 << 20])(
  'launcher becomes the program when the agent declines %i bytes of input',
  async (size) => {
    const folder = freshFolder()
    const given = Buffer.alloc(size, 'abcdefg')
    await using agent = new Agent(
      join(folder, 'agent.sock'),
      (socket) => socket.write(hello),
      // Some output is promised with it, and never comes: a decline needs none.
      (socket) => socket.write(reply({ declined: 1, size: 100 })),
    )
    const pieces = (stdin: NodeJS.WritableStream): void => {
      for (let at = 0; at < size; at += 300_000)
        setTimeout(() => stdin.write(given.subarray(at, at + 300_000)), at / 10_000)
      setTimeout(() => stdin.end(), size / 10_000 + 50)
    }
    const done = await launch({
      environment: { ...call, BERTH_DATA_DIR: folder },
      input: pieces,
      argv0: 'x/berth-ipam',
    })
    const said = programSaid(done)
    expect([said.argv0, said.input.equals(given), agent.requests.length]).toEqual(['x/berth-ipam', true, 1])
  },
)

test('launcher writes JSON whatever is in the path of the socket', async () => {
  const folder = `${freshFolder()}/a"b\\c\nd\x01é`
  mkdirSync(folder)
  await using _agent = new Agent(
    join(folder, 'agent.sock'),
    (socket) => socket.write(hello),
    (socket) => socket.destroy(),
  )
  const done = await launch({ environment: { ...call, BERTH_DATA_DIR: folder } })
  expect(errorOf(done).msg).toContain('/a?b?c?d?é/agent.sock": it ended')
})
