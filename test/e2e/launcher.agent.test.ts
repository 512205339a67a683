/** The launcher of the build and the agent of the build, on a node with a pod. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type Answer, binaries, Host, ip, type Pod } from './host.ts'

async function startAgent(host: Host): Promise<ChildProcess> {
  const directories = ['--run-dir', join(host.dataDir, 'run'), '--data-dir', host.dataDir]
  const command = ['netns', 'exec', host.node, join(binaries, 'berth'), 'agent', ...directories]
  const agent = spawn('ip', command, {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, BERTH_LOG: 'warn' },
  })
  while (!existsSync(join(host.dataDir, 'agent.sock'))) {
    if (agent.exitCode !== null) throw new Error(`the agent ended with exit code ${agent.exitCode}`)
    await pause(10)
  }
  return agent
}

/** Calls the plugin under strace, and tells whether the launcher gave the answer by itself. */
function callTraced(host: Host, verb: string, pod: Pod, config: object): Answer & { readonly byAgent: boolean } {
  const trace = join(host.dataDir, `trace-${verb}`)
  const strace = ['strace', '-o', trace, '-e', 'trace=execve', join(binaries, 'berth-macvlan')]
  const env = host.environment(verb, pod)
  const input = JSON.stringify(config)
  const done = spawnSync('ip', ['netns', 'exec', host.node, ...strace], {
    env,
    input,
    encoding: 'utf8',
    timeout: 30_000,
  })
  const executed = readFileSync(trace, 'utf8').match(/execve\(/g)?.length
  return { exitCode: done.status, stdout: done.stdout, stderr: done.stderr, byAgent: executed === 1 }
}

test('launcher gives the answers of the agent, and those of the program are the same, when one is there and when it is gone', async () => {
  using host = new Host()
  const pod = host.pod()
  const config = host.config({ mac: '02:00:00:00:00:07' })
  const agent = await startAgent(host)
  const added = callTraced(host, 'ADD', pod, config)
  const version = callTraced(host, 'VERSION', pod, config)
  expect([added.exitCode, added.byAgent, version.byAgent]).toEqual([0, true, true])
  expect(ip('-n', pod.name, '-br', 'link')).toContain('02:00:00:00:00:07')
  // Declined: a foreign IPAM may take its time.
  const foreign = host.config({ ipam: { type: 'host-local', subnet: '10.9.0.0/24', dataDir: host.dataDir } })
  const declined = callTraced(host, 'STATUS', pod, { ...foreign, name: 'net-b' })
  const ended = new Promise((resolve) => agent.once('exit', resolve))
  agent.kill('SIGTERM')
  await ended
  const again = callTraced(host, 'VERSION', pod, config)
  expect([again.byAgent, again.stdout]).toEqual([false, version.stdout])
  const removed = callTraced(host, 'DEL', pod, config)
  expect([removed.exitCode, removed.stdout, removed.byAgent]).toEqual([0, '', false])
  const anew = callTraced(host, 'ADD', pod, config)
  expect(anew.stdout).toBe(added.stdout)
  expect(callTraced(host, 'DEL', pod, config).exitCode).toBe(0)
  expect(declined.byAgent).toBe(false)
})
