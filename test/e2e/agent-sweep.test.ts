import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Host, ip } from './host.ts'
import { type RunningAgent, startAgent } from './watched.ts'

const often = ['--sweep-seconds', '1', '--sweep-grace-seconds', '1']
const seldom = ['--sweep-seconds', '600', '--sweep-grace-seconds', '0']

const sweeps = async (agent: RunningAgent, result: string): Promise<number> =>
  (await agent.samples()).get(`berth_sweeps_total{result="${result}"}`) ?? 0
const childrenOf = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .split(' ')
    .filter((text) => text !== '')

function tryKill(pid: string, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(Number(pid), signal)
  } catch {
    // It has ended meanwhile.
    return false
  }
}

test('an agent releases what a pod without a DEL held, and nothing of one that lives', async () => {
  using host = new Host()
  await using agent = await startAgent(host, { metrics: true, args: often })
  const [dead, living] = [host.pod(), host.pod()]
  for (const pod of [dead, living]) expect((await agent.call('ADD', pod, host.config())).exitCode).toBe(0)
  ip('netns', 'del', dead.name)
  await agent.waitUntil('the lease is released', () => !host.leaseFiles().includes('10.20.0.10'), 30_000)
  expect(host.leaseFiles()).toEqual(['10.20.0.11', 'net-a,ctr-1,net1'])
  await agent.waitUntil(
    'it is counted',
    async () => (await agent.samples()).get('berth_swept_total{what="released"}') === 1,
  )
  const before = await sweeps(agent, 'ok')
  await agent.waitUntil('three more sweeps', async () => (await sweeps(agent, 'ok')) >= before + 3)
  expect(host.leaseFiles()).toEqual(['10.20.0.11', 'net-a,ctr-1,net1'])
  expect(await agent.call('DEL', living, host.config())).toMatchObject({ exitCode: 0 })
})

test('an agent sweeps soon after a namespace has vanished, long before its time', async () => {
  using host = new Host()
  // Others on this machine make and remove namespaces as well: theirs are not looked at.
  const names = mkdtempSync(join(tmpdir(), 'berth-netns-'))
  for (const name of ['dead', 'other']) writeFileSync(join(names, name), '')
  await using agent = await startAgent(host, { metrics: true, args: [...seldom, '--netns-dir', names] })
  const dead = host.pod()
  expect((await agent.call('ADD', dead, host.config())).exitCode).toBe(0)
  await pause(1500)
  expect(await sweeps(agent, 'ok')).toBe(0)
  ip('netns', 'del', dead.name)
  rmSync(names, { recursive: true })
  await agent.waitUntil('it has looked', async () => (await sweeps(agent, 'ok')) === 1, 10_000)
  expect((await agent.samples()).get('berth_sweep_waiting')).toBe(1)
  // The second look comes after the rest between two sweeps.
  await agent.waitUntil('the lease is released', () => host.leaseFiles().length === 0, 40_000)
})

test('an agent keeps what a process uses whose namespace has lost its name', async () => {
  using host = new Host()
  await using agent = await startAgent(host, { metrics: true, args: often })
  const pod = host.pod()
  expect((await agent.call('ADD', pod, host.config())).exitCode).toBe(0)
  const script = 'sleep 60 >/dev/null 2>&1 & echo $!'
  const sleeper = execFileSync('nsenter', [`--net=${pod.netns}`, 'sh', '-c', script], { encoding: 'utf8' }).trim()
  try {
    ip('netns', 'del', pod.name)
    const before = await sweeps(agent, 'ok')
    await agent.waitUntil('four more sweeps', async () => (await sweeps(agent, 'ok')) >= before + 4)
    expect(host.leaseFiles()).toEqual(['10.20.0.10', 'net-a,ctr-0,net1'])
  } finally {
    process.kill(Number(sleeper))
  }
  await agent.waitUntil('the lease is released', () => host.leaseFiles().length === 0, 30_000)
})

test('an agent goes on when its sweeps fail', async () => {
  using host = new Host()
  await using agent = await startAgent(host, { metrics: true, args: often })
  const pod = host.pod()
  expect((await agent.call('ADD', pod, host.config())).exitCode).toBe(0)
  const [leases, aside] = [join(host.dataDir, 'leases'), join(host.dataDir, 'aside')]
  renameSync(leases, aside)
  writeFileSync(leases, 'no directory')
  await agent.waitUntil('two sweeps have failed', async () => (await sweeps(agent, 'failed')) >= 2)
  expect(agent.stderr).toMatch(/cannot sweep: "berth leases sweep .*" failed: exit code 1: berth: Cannot /)
  expect((await agent.page('/healthz')).status).toBe(200)
  expect((await agent.page('/readyz')).status).toBe(503)
  await agent.waitUntil('that is told', async () => (await agent.samples()).get('berth_leases_readable') === 0)
  expect((await agent.call('ADD', host.pod(), host.config())).stdout).toContain('"code":5')
  rmSync(leases)
  renameSync(aside, leases)
  const before = await sweeps(agent, 'ok')
  await agent.waitUntil('a sweep succeeds again', async () => (await sweeps(agent, 'ok')) > before)
  expect((await agent.call('DEL', pod, host.config())).exitCode).toBe(0)
})

test('an agent that is told to end takes its sweep along', async () => {
  using host = new Host()
  await using agent = await startAgent(host, { metrics: true, args: often })
  let child: string | undefined
  await agent.waitUntil('a sweep runs', () => {
    child = childrenOf(agent.pid)[0]
    return child !== undefined && tryKill(child, 'SIGSTOP')
  })
  expect(await agent.stop()).toBe(0)
  expect(() => process.kill(Number(child), 0)).toThrow('ESRCH')
})
