/** Random agents: whatever they say and however they say it, the call ends in time and in one of four ways. */
import { rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  Agent,
  call,
  type Ended,
  freshFolder,
  hello,
  launch,
  prepare,
  programSaid,
  reply,
  replyMs,
  work,
} from './launch.ts'

beforeAll(prepare)
afterAll(() => rmSync(work, { recursive: true, force: true }))

const input = Buffer.from('{"cniVersion":"1.1.0"}')
const rounds = 300
/** What a busy machine may add. */
const slackMs = 3000

const junk = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))
/** Frames that are nearly right: a byte of a good one changed, cut, or followed by something. */
const nearly = (good: Buffer): fc.Arbitrary<Buffer> =>
  fc.tuple(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), junk).map(([at, byte, cut, more]) => {
    const bytes = Buffer.from(good)
    bytes[at] = byte
    return Buffer.concat([bytes.subarray(0, cut), more])
  })
const someReply = fc
  .record({
    output: fc.string({ maxLength: 50 }),
    exitCode: fc.nat(255),
    declined: fc.nat(2),
    zero: fc.constantFrom(0, 0, 0, 1),
  })
  .map(reply)
const beginnings = fc.oneof({ arbitrary: fc.constant(hello), weight: 6 }, nearly(hello), junk)
const answers = fc.oneof(someReply, someReply.chain(nearly), junk)
/** Few wait: each of those may take the whole time that the launcher has. */
const endings = fc.oneof({ arbitrary: fc.constantFrom('end', 'destroy'), weight: 15 }, fc.constant('wait'))
const plans = fc.record({ beginning: beginnings, answer: answers, ending: endings, after: fc.nat(30) })
type Plan = typeof plans extends fc.Arbitrary<infer T> ? T : never

function play(socket: Socket, { beginning, answer, ending, after }: Plan): void {
  socket.write(beginning)
  let got = 0
  socket.on('data', (piece) => {
    const before = got
    got += piece.length
    // After so many bytes of the request, which need not be all of them.
    if (before > after || got <= after) return
    socket.write(answer, () => {
      if (ending === 'end') socket.end()
      if (ending === 'destroy') socket.destroy()
    })
  })
}

function judge(plan: Plan, done: Ended): void {
  expect(done.signal).toBeNull()
  expect(done.ms).toBeLessThan(replyMs + slackMs)
  if (!plan.beginning.subarray(0, hello.length).equals(hello)) {
    expect(programSaid(done).input.equals(input)).toBe(true)
    return
  }
  // What follows a hello is already the answer.
  const said = Buffer.concat([plan.beginning.subarray(hello.length), plan.answer])
  const [size, declined] = said.length < 8 ? [0, -1] : [said.readUInt32LE(0), said.readUInt8(4)]
  const valid = said.length >= 8 && declined <= 1 && said.readUInt16LE(6) === 0 && size <= 1 << 20
  if (valid && declined === 1) expect(programSaid(done).input.equals(input)).toBe(true)
  else if (valid && said.length >= 8 + size) {
    expect(done.exitCode).toBe(said.readUInt8(5))
    expect(done.stdout.equals(said.subarray(8, 8 + size))).toBe(true)
  } else expect([done.exitCode, JSON.parse(done.stdout.toString()).code]).toEqual([1, 11])
}

test('launcher ends in one of four ways when the agent says anything at all', { timeout: 120_000 }, async () => {
  const seed = Number(process.env.BERTH_SEED ?? Math.floor(Math.random() * 2 ** 31))
  process.stdout.write(`fuzzing the launcher: BERTH_SEED=${seed}\n`)
  const folder = freshFolder()
  const plan: { now: Plan | undefined } = { now: undefined }
  const accept = (socket: Socket): void => {
    if (plan.now !== undefined) play(socket, plan.now)
  }
  await using _agent = new Agent(join(folder, 'agent.sock'), accept, () => undefined)
  const property = fc.asyncProperty(plans, async (next) => {
    plan.now = next
    judge(next, await launch({ environment: { ...call, BERTH_DATA_DIR: folder }, input }))
  })
  await fc.assert(property, { seed, numRuns: rounds, endOnFailure: true })
})
