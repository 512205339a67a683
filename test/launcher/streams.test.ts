/** Standard streams that are closed, broken, slow or not blocking; an agent that is there and stopped. */
import { spawn } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  Agent,
  call,
  freshFolder,
  goodAgent,
  helloMs,
  launch,
  paths,
  prepare,
  programSaid,
  reply,
  work,
} from './launch.ts'

beforeAll(prepare)
afterAll(() => rmSync(work, { recursive: true, force: true }))

const config = '{"cniVersion":"1.1.0","name":"net-a","type":"berth-macvlan"}'

test.each([
  ['<&-', '0<&-'],
  ['>&-', '1>&-'],
  ['both', '0<&- 1>&-'],
])('launcher does not take a socket for a standard stream when one is closed: %s', async (_, redirect) => {
  const folder = freshFolder()
  await using agent = goodAgent(folder)
  const script = `exec "$0" ${redirect}`
  const done = await launch({
    command: ['/bin/sh', '-c', script, paths.launcher],
    environment: { ...call, BERTH_DATA_DIR: folder },
  })
  expect(agent.heard.every((bytes) => bytes.length === 0)).toBe(true)
  expect([0, 1, 42]).toContain(done.exitCode)
})

test('launcher fails when nobody can take the answer', async () => {
  const folder = freshFolder()
  await using _agent = goodAgent(folder)
  const environment = { ...call, BERTH_DATA_DIR: folder }
  const full = await launch({ command: ['/bin/sh', '-c', 'exec "$0" > /dev/full', paths.launcher], environment })
  expect([full.exitCode, full.stdout.length]).toEqual([1, 0])
  const reading = await launch({ command: ['/bin/sh', '-c', 'exec "$0" 1< /dev/null', paths.launcher], environment })
  expect(reading.exitCode).toBe(1)
})

test('launcher waits when standard input and output are non-blocking ones', async () => {
  const folder = freshFolder()
  const [input, output] = [Buffer.alloc(300_000, 'abc'), Buffer.alloc(900_000, 'xyz')]
  await using agent = goodAgent(folder, reply({ output }))
  const variables = Object.entries({ ...call, BERTH_DATA_DIR: folder }).map(([name, value]) => `${name}=${value}`)
  const done = await launch({
    command: [paths.starter, paths.launcher, '-n', ...variables],
    input: (stdin) => void setTimeout(() => stdin.end(input), 300),
  })
  expect(done.stdout.equals(output)).toBe(true)
  expect(agent.requests[0]?.input.equals(input)).toBe(true)
})

test('launcher lets the program say that standard input cannot be read', async () => {
  const folder = freshFolder()
  await using agent = goodAgent(folder)
  const command = ['/bin/sh', '-c', 'exec "$0" < /', paths.launcher]
  const done = await launch({ command, environment: { ...call, BERTH_DATA_DIR: folder } })
  expect(programSaid(done).input.length).toBe(0)
  expect(agent.requests).toEqual([])
})

test('launcher keeps a stopped agent with a full queue out of its way', async () => {
  const folder = freshFolder()
  const path = join(folder, 'agent.sock')
  const script = `require('node:net').createServer().listen({ path: ${JSON.stringify(path)}, backlog: 1 }, () => process.kill(process.pid, 'SIGSTOP'))`
  const stopped = spawn(process.execPath, ['-e', script], { stdio: 'ignore' })
  try {
    const state = (): string => readFileSync(`/proc/${stopped.pid}/stat`, 'utf8').split(') ')[1]?.[0] ?? ''
    while (state() !== 'T') await pause(10)
    // Two fit into the queue, and wait for their hello; the others find it full.
    const all = Array.from({ length: 6 }, () =>
      launch({ environment: { ...call, BERTH_DATA_DIR: folder }, input: config }),
    )
    const ended = await Promise.all(all)
    for (const done of ended) expect(programSaid(done).input.toString()).toBe(config)
    expect(ended.filter(({ ms }) => ms < helloMs).length).toBeGreaterThanOrEqual(3)
  } finally {
    stopped.kill('SIGKILL')
  }
})

test('launcher has the limits of the protocol when it is built for release', async () => {
  const folder = freshFolder()
  await using _silent = new Agent(join(folder, 'agent.sock'), () => undefined)
  const environment = { ...call, BERTH_DATA_DIR: folder }
  const { ms, ...done } = await launch({ command: [paths.released], environment, input: config })
  expect(programSaid({ ...done, ms }).input.toString()).toBe(config)
  expect(ms).toBeGreaterThanOrEqual(250)
  expect(ms).toBeLessThan(400 + 1500)
})
