/** Where the kernel makes a call wait until all processors have let go of what was removed (RCU): in DEL, never in ADD. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { binaries, Host, type Pod } from './host.ts'

/** The longest write to a netlink socket and the longest setns of a call, in milliseconds. */
function longestMs(host: Host, verb: string, pod: Pod, config: object): number {
  const strace = ['strace', '-T', '-y', '--quiet=all', '-e', 'trace=write,setns']
  const done = spawnSync('ip', ['netns', 'exec', host.node, ...strace, join(binaries, 'berth-macvlan')], {
    env: host.environment(verb, pod),
    input: JSON.stringify(config),
    encoding: 'utf8',
  })
  expect(done.status, done.stdout).toBe(0)
  const lines = done.stderr.split('\n').filter((line) => /<(NETLINK|socket):|^setns/.test(line))
  expect(lines.length).toBeGreaterThan(2)
  return Math.max(...lines.map((line) => Number(/<([0-9.]+)>$/.exec(line)?.[1]) * 1000))
}

test('no message of an ADD waits for a grace period when that of its DEL does', () => {
  using host = new Host()
  const pod = host.pod()
  const ranges = [{ range: '10.80.0.0/24' }, { range: 'fd00:80::/64' }]
  const config = host.config({ ipam: { type: 'berth-ipam', ipRanges: ranges }, sourceRouting: true })
  const waits = Array.from({ length: 5 }, () => ({
    add: longestMs(host, 'ADD', pod, config),
    del: longestMs(host, 'DEL', pod, config),
  }))
  // The least of some: what else runs on the machine makes single calls of both longer.
  const [add, del] = [Math.min(...waits.map((wait) => wait.add)), Math.min(...waits.map((wait) => wait.del))]
  process.stdout.write(`longest message: ADD ${add.toFixed(2)} ms, DEL ${del.toFixed(2)} ms\n`)
  expect(add).toBeLessThan(del / 2)
})
