/** Where the kernel makes a call wait until all processors have let go of what was removed (RCU): in DEL, never in ADD. */
import { expect, test } from 'vitest'
import { Host, type Pod } from './host.ts'
import { sendsOf } from './sends.ts'

/** The longest write to a netlink socket and the longest setns of a call, in milliseconds. */
function longestMs(host: Host, verb: string, pod: Pod, config: object): number {
  const { writesMs, setnsMs } = sendsOf(host, verb, pod, config)
  expect(writesMs.length).toBeGreaterThan(0)
  return Math.max(...writesMs, ...setnsMs)
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
