/** hostAccess: the node and its pods reach each other, and what that takes is gone with the last of them. */
import { expect, test } from 'vitest'
import { type Attached, Host, ip, type Pod } from './host.ts'
import {
  accessKeys,
  address,
  addressesOf,
  beStrict,
  far,
  hostWith,
  hostWithOtherLink,
  inNetns,
  near,
  reaches,
  strictPod,
} from './reach.ts'

/** Who does not reach whom, of the node and a pod. */
function deaf(host: Host, pod: Pod, result: Attached, nodeAddresses: readonly string[]): string[] {
  return [
    ...addressesOf(result).filter((one) => !reaches(host.node, one)),
    ...nodeAddresses.filter((one) => !reaches(pod.name, one)),
    // What leaves from an address of the link, whatever else the pod has.
    ...nodeAddresses.filter((one, index) => !reaches(pod.name, one, '-I', addressesOf(result)[index] ?? '')),
  ]
}

test.each([
  ['in the subnet', near, {}],
  ['in another subnet', far, {}],
  ['in the subnet', near, { sourceRouting: true }],
  ['in another subnet', far, { sourceRouting: true }],
  ['in another subnet', far, { sourceRouting: { table: 77 } }],
  ['in another subnet', far, { mac: 'fromIP' }],
])('node and pods reach each other when the address of the node is %s: %s, %j', (_, own, keys) => {
  using host = hostWith(own)
  const config = host.config({ ...accessKeys, ...keys })
  const pods = [strictPod(host), strictPod(host)]
  const results = pods.map((pod) => host.add(pod, config))
  for (const [index, pod] of pods.entries()) {
    const prevResult = results[index] as Attached
    expect(deaf(host, pod, prevResult, own)).toEqual([])
    expect(host.call('CHECK', pod, { ...config, prevResult })).toMatchObject({ exitCode: 0 })
  }
  const [first, second] = pods as [Pod, Pod]
  host.call('DEL', first, config)
  expect(host.ownRoutes()).toHaveLength(2)
  expect(deaf(host, second, results[1] as Attached, own)).toEqual([])
  host.call('DEL', second, config)
  expect(host.leftovers()).toEqual([])
})

test("the addresses of the default route's link serve when the master has none", () => {
  using host = hostWithOtherLink()
  const config = host.config(accessKeys)
  const pod = strictPod(host)
  expect(deaf(host, pod, host.add(pod, config), far)).toEqual([])
  host.call('DEL', pod, config)
  ip('-n', host.node, 'link', 'del', 'lan')
})

/** Gives a pod a first link, with its default route, over a veth pair of its own to the node. */
function firstLink(host: Host, pod: Pod): void {
  ip('-n', host.node, 'link', 'add', 'first', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', pod.name)
  ip('-n', host.node, 'link', 'set', 'first', 'up')
  ip('-n', pod.name, 'link', 'set', 'eth0', 'up')
  ip('-n', pod.name, 'addr', 'add', '10.99.0.9/32', 'dev', 'eth0')
  ip('-n', pod.name, 'route', 'add', 'default', 'dev', 'eth0')
  ip('-n', host.node, 'route', 'add', '10.99.0.9/32', 'dev', 'first')
  for (const name of [host.node, pod.name]) beStrict(name)
}

test('a probe of the first link of a pod is answered through it when its second one has hostAccess', () => {
  using host = hostWith(far)
  const pod = host.pod()
  firstLink(host, pod)
  inNetns(host.node, 'sysctl', '-qw', 'net.ipv4.conf.first.proxy_arp=1')
  const config = host.config(accessKeys)
  const result = host.add(pod, config)
  expect(reaches(host.node, '10.99.0.9', '-I', '192.0.2.5')).toBe(true)
  for (const one of addressesOf(result)) expect(reaches(host.node, one)).toBe(true)
  host.call('DEL', pod, config)
  ip('-n', host.node, 'link', 'del', 'first')
})

test('the wire gets no answer for an address of the node from the host link', () => {
  using host = new Host()
  ip('-n', host.node, 'link', 'set', 'lo', 'up')
  const neighbour = host.pod('neighbour')
  ip('-n', host.node, 'link', 'add', 'nic1', 'type', 'veth', 'peer', 'name', 'port')
  ip('-n', host.node, 'link', 'set', 'port', 'netns', neighbour.name)
  for (const [name, link] of [
    [host.node, 'nic1'],
    [neighbour.name, 'port'],
  ] as const)
    ip('-n', name, 'link', 'set', link, 'up')
  address(host, 'nic1', '10.20.0.5/24', 'fd00:20::5/64')
  ip('-n', neighbour.name, 'addr', 'add', '10.20.0.6/24', 'dev', 'port')
  ip('-n', neighbour.name, 'addr', 'add', 'fd00:20::6/64', 'dev', 'port', 'nodad')
  const config = host.config({ ...accessKeys, master: 'nic1' })
  const pod = host.pod()
  const [four = '', six = ''] = addressesOf(host.add(pod, config))
  for (const one of [four, six]) expect(reaches(host.node, one)).toBe(true)
  expect(ip('-n', neighbour.name, 'neigh')).not.toContain('10.20.0.5')
  for (const one of near) expect(reaches(neighbour.name, one)).toBe(true)
  // A NIC that is silent leaves whoever else answers.
  ip('-n', host.node, 'link', 'set', 'nic1', 'arp', 'off')
  ip('-n', host.node, 'addr', 'del', 'fd00:20::5/64', 'dev', 'nic1')
  ip('-n', neighbour.name, 'neigh', 'flush', 'all')
  for (const one of near) {
    expect(reaches(neighbour.name, one)).toBe(false)
    expect(ip('-n', neighbour.name, 'neigh', 'show', one)).not.toContain('lladdr')
  }
  host.call('DEL', pod, config)
  ip('-n', host.node, 'link', 'del', 'nic1')
})
