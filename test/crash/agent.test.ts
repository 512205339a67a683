/**
 * The agent failing at every point of a call: the caller gets a right answer or CNI error 11 in time, no address is held twice, and a
 * DEL finishes the rest, whoever answers it. BERTH_TEST_LONG=1 has more rounds.
 */
import type { ChildProcess } from 'node:child_process'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { isAnswered } from '../../agent/sockets.ts'
import { Agent } from '../e2e/agent.ts'
import { type Attached, type CallOptions, Host, type Pod } from '../e2e/host.ts'
import { below, randomFrom, seed } from './random.ts'

const rounds = process.env.BERTH_TEST_LONG === '1' ? 60 : 8
const podCount = 12
/** A launcher waits a quarter of a second for a hello; the rest is for the program, on a busy machine. */
const helloWaitedMs = 3000
const reopenedWithinMs = 20_000

const config = (host: Host): Record<string, unknown> =>
  host.config({ ipam: { type: 'berth-ipam', range: '10.80.0.0/16' } })

interface Ended {
  readonly exitCode: number | null
  readonly stdout: string
}

async function ended(child: ChildProcess): Promise<Ended> {
  let stdout = ''
  child.stdout?.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr?.resume()
  await once(child, 'close')
  return { exitCode: child.exitCode, stdout }
}

const callAll = (host: Host, pods: readonly Pod[], verb: string, options?: CallOptions): Promise<Ended[]> =>
  Promise.all(pods.map((pod) => ended(host.start(verb, pod, config(host), options))))

const addressOf = ({ stdout }: Ended): string => (JSON.parse(stdout) as Attached).ips?.[0]?.address ?? ''

/** What is wrong with the answers of ADDs while an agent died; empty when nothing is. */
function judge(answers: readonly Ended[]): string[] {
  const good = answers.filter(({ exitCode }) => exitCode === 0)
  const twice = good.map(addressOf).filter((address, index, all) => all.indexOf(address) !== index)
  const bad = answers.filter(({ exitCode, stdout }) => exitCode !== 0 && !/"code": ?11\b/.test(stdout))
  return [...twice.map((address) => `${address} twice`), ...bad.map(({ exitCode, stdout }) => `${exitCode}: ${stdout}`)]
}

async function expectAllDeleted(host: Host, pods: readonly Pod[]): Promise<void> {
  for (const one of await callAll(host, pods, 'DEL')) expect(one).toEqual({ exitCode: 0, stdout: '' })
  expect(host.leftovers()).toEqual([])
}

test('a call is answered without the agent when that was killed before', () => {
  using host = new Host()
  const pod = host.pod()
  using agent = new Agent(host)
  agent.stop('SIGKILL')
  expect(host.add(pod, config(host)).ips?.[0]?.address).toBe('10.80.0.1/16')
  expect(host.call('DEL', pod, config(host))).toEqual({ exitCode: 0, stdout: '', stderr: '' })
})

test('an agent killed while it answers leaves right answers or error 11, and what a DEL removes', async () => {
  using host = new Host()
  const pods = Array.from({ length: podCount }, () => host.pod())
  const random = randomFrom(seed)
  const wrong: string[] = []
  let lost = 0
  for (let round = 0; round < rounds; round++) {
    using agent = new Agent(host)
    const answers = callAll(host, pods, 'ADD')
    await pause(below(60, random))
    agent.stop('SIGKILL')
    const all = await answers
    lost += all.filter(({ exitCode }) => exitCode !== 0).length
    wrong.push(...judge(all))
    // Every other time the next agent finishes what the dead one left.
    using _next = round % 2 === 0 ? new Agent(host) : undefined
    await expectAllDeleted(host, pods)
  }
  process.stdout.write(
    `agent killed in ${rounds} rounds of ${podCount} ADDs: ${lost} answers lost, ${wrong.length} wrong\n`,
  )
  expect(wrong).toEqual([])
})

test('an agent killed while it removes links leaves DELs that can be repeated', async () => {
  using host = new Host()
  const pods = Array.from({ length: podCount }, () => host.pod())
  const random = randomFrom(seed)
  for (let round = 0; round < rounds; round++) {
    using agent = new Agent(host)
    expect(judge(await callAll(host, pods, 'ADD'))).toEqual([])
    const answers = callAll(host, pods, 'DEL')
    await pause(below(60, random))
    agent.stop('SIGKILL')
    for (const { exitCode, stdout } of await answers) {
      if (exitCode !== 0) expect(stdout).toMatch(/"code": ?11\b/)
    }
    await expectAllDeleted(host, pods)
  }
})

test('an agent makes nothing for a caller that is gone by the time its turn comes', async () => {
  using host = new Host()
  const pod = host.pod()
  host.add(pod, config(host))
  host.call('DEL', pod, config(host))
  using _agent = new Agent(host)
  const locks = join(host.dataDir, 'calls', '.locks')
  // Another process's call of the attachment: all names of the file.
  const code = `import fcntl, time, struct; f = open("${locks}", "r+"); fcntl.fcntl(f, 37, struct.pack("hhqqi", 1, 0, 0, 0, 0)); print("held", flush=True); time.sleep(60)`
  const holder = spawn('python3', ['-c', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(holder.stdout, 'data')
  const caller = host.start('ADD', pod, config(host))
  await pause(300)
  caller.kill('SIGKILL')
  await once(caller, 'close')
  holder.kill('SIGKILL')
  await once(holder, 'close')
  await pause(300)
  expect(host.leftovers()).toEqual([])
})

test('a stopped agent keeps nobody waiting', () => {
  using host = new Host()
  const pod = host.pod()
  using agent = new Agent(host)
  agent.signal('SIGSTOP')
  const start = performance.now()
  expect(host.add(pod, config(host)).ips?.[0]?.address).toBe('10.80.0.1/16')
  expect(performance.now() - start).toBeLessThan(helloWaitedMs)
  agent.signal('SIGCONT')
  expect(host.call('DEL', pod, config(host)).exitCode).toBe(0)
})

test('a second agent of the same directory does not start, and the first one goes on', () => {
  using host = new Host()
  const pod = host.pod()
  using agent = new Agent(host)
  expect(() => new Agent(host)).toThrow(`another agent answers in "${agent.runDir}"`)
  host.add(pod, config(host))
  expect(host.call('DEL', pod, config(host)).exitCode).toBe(0)
  expect(agent.isAlive).toBe(true)
})

test.each<[string, (agent: Agent) => string]>([
  ['its socket', (agent) => join(agent.runDir, 'agent.sock')],
  ['its directory', (agent) => agent.runDir],
  ['the socket in the data directory', (agent) => agent.socket],
])('an agent answers again when somebody removed %s', async (_, pathOf) => {
  using host = new Host()
  using agent = new Agent(host)
  const sockets = [join(agent.runDir, 'agent.sock'), agent.socket]
  rmSync(pathOf(agent), { recursive: true })
  const deadline = performance.now() + reopenedWithinMs
  while (!sockets.every(existsSync) && performance.now() < deadline) await pause(50)
  for (const path of sockets) expect(await isAnswered(path)).toBe(true)
  // Its lock holds as before.
  expect(() => new Agent(host)).toThrow(`another agent answers in "${agent.runDir}"`)
  expect(agent.log()).toContain('answering there again')
})

test('an agent that is told to end serves those who are there, and loses nobody', async () => {
  using host = new Host()
  const pods = Array.from({ length: podCount }, () => host.pod())
  const random = randomFrom(seed)
  for (let round = 0; round < rounds; round++) {
    using agent = new Agent(host)
    const answers = callAll(host, pods, 'ADD')
    await pause(below(40, random))
    agent.stop('SIGTERM')
    const all = await answers
    expect(all.map(({ exitCode }) => exitCode)).toEqual(pods.map(() => 0))
    expect(judge(all)).toEqual([])
    await expectAllDeleted(host, pods)
  }
})

test('an agent whose disk is full says so, and a DEL makes room', () => {
  using host = new Host()
  const pods = [host.pod(), host.pod()]
  const [first, second] = pods
  if (first === undefined || second === undefined) throw new Error('no pods')
  const small = join(host.dataDir, 'small')
  mkdirSync(small)
  spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1200k', 'tmpfs', small])
  try {
    const environment = { BERTH_DATA_DIR: small }
    using _agent = new Agent({ node: host.node, dataDir: small })
    host.add(first, config(host), { environment })
    writeFileSync(join(small, 'ballast'), Buffer.alloc(4096))
    const filled = spawnSync('sh', ['-c', `cat /dev/zero > ${small}/ballast`])
    expect(filled.status).not.toBe(0)
    const refused = host.call('ADD', second, config(host), { environment })
    expect(refused.exitCode).toBe(1)
    expect(JSON.parse(refused.stdout)).toMatchObject({ msg: expect.stringMatching(/ENOSPC|no space left/) })
    expect(host.linksOf(second.name)).toEqual([])
    for (const pod of pods) expect(host.call('DEL', pod, config(host), { environment }).stdout).toBe('')
    expect(host.linksOf(first.name)).toEqual([])
  } finally {
    spawnSync('umount', ['-l', small])
    rmSync(small, { recursive: true, force: true })
  }
})

test('500 calls at once are all answered, each with an address of its own', { timeout: 300_000 }, async () => {
  using host = new Host()
  using agent = new Agent(host)
  const pod = host.pod()
  const callers = Array.from({ length: 500 }, (_, index) => ({ ...pod, containerId: `many-${index}` }))
  const options = { plugin: 'berth-ipam' }
  const answers = await callAll(host, callers, 'ADD', options)
  expect(judge(answers)).toEqual([])
  expect(answers.filter(({ exitCode }) => exitCode === 0)).toHaveLength(500)
  expect(agent.isAlive).toBe(true)
  for (const one of await callAll(host, callers, 'DEL', options)) expect(one).toEqual({ exitCode: 0, stdout: '' })
})
