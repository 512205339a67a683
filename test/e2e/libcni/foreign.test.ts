/** Beside the plugins of others, under a real CNI client: a foreign main plugin, a foreign IPAM, a chain. */
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { Host, ip } from '../host.ts'
import { buildDriver } from './build.ts'
import { type Conflist, examplePlugin, Libcni, exampleNetwork as network, ping, silence } from './client.ts'

const fieldIps = ['172.17.0.30/24', '172.17.0.31/24']

beforeAll(() => {
  buildDriver()
})

const foreignMains: [string, (host: Host) => object][] = [
  ['bridge', () => ({ type: 'bridge', bridge: 'br-test' })],
  ['macvlan', (host) => ({ type: 'macvlan', master: host.nic })],
]

test.each(foreignMains)(
  "libcni add takes addresses of berth-ipam when the main plugin is Debian's %s",
  (type, main) => {
    using host = new Host()
    const { ipam } = examplePlugin(host)
    const conflist: Conflist = { cniVersion: '1.0.0', name: 'foreign-main', plugins: [{ ...main(host), ipam }] }
    using client = new Libcni(host, conflist)
    // A bridge without a MAC of its own takes another with every port, and that plugin's CHECK compares it.
    const bridge = ['br-test', 'address', '02:00:00:00:00:b0', 'type', 'bridge']
    if (type === 'bridge') ip('-n', host.node, 'link', 'add', ...bridge)
    const pods = [host.pod(), host.pod()] as const
    expect(client.addAll(pods)).toEqual(fieldIps)
    expect(ping(pods[0], '172.17.0.31')).toContain('1 received')
    for (const pod of pods) expect(client.check(pod)).toEqual(silence)
    expect(client.del(pods[1])).toEqual(silence)
    const next = host.pod()
    // The one that was given back rests for a while.
    expect(client.addAll([next])).toEqual(['172.17.0.32/24'])
    client.detach([...pods, next])
    if (type === 'bridge') ip('-n', host.node, 'link', 'del', 'br-test')
  },
)

test('libcni check fails in berth-ipam when the lease under a foreign main plugin is gone', () => {
  using host = new Host()
  const { ipam } = examplePlugin(host)
  const plugin = { type: 'macvlan', master: host.nic, ipam }
  using client = new Libcni(host, { cniVersion: '1.0.0', name: 'foreign-main', plugins: [plugin] })
  const pod = host.pod()
  client.add(pod)
  host.call('DEL', pod, { cniVersion: '1.0.0', name: 'foreign-main', ...plugin }, { plugin: 'berth-ipam' })
  const answer = client.check(pod)
  expect(answer).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('Cannot find a lease of "ctr-0/net1"') })
  client.detach([pod])
})

/** Debian's host-local with a single address to give; `leases` reads its files, `forget` removes them. */
function hostLocal(host: Host): { ipam: object; leases: () => string[]; forget: () => void } {
  const dataDir = join(host.dataDir, 'host-local')
  const ranges = [[{ subnet: '10.30.0.0/24', rangeStart: '10.30.0.5', rangeEnd: '10.30.0.5' }]]
  const ipam = { type: 'host-local', dataDir, ranges, routes: [{ dst: '10.31.0.0/16' }] }
  const leases = () => readdirSync(join(dataDir, 'internalapi')).filter((file) => file.startsWith('10.'))
  return { ipam, leases, forget: () => rmSync(dataDir, { recursive: true }) }
}

test("libcni add attaches with address, gateway and route when the IPAM is Debian's host-local", () => {
  using host = new Host()
  const { ipam, leases } = hostLocal(host)
  using client = new Libcni(host, network(host, { ipam }))
  const pod = host.pod()
  const result = client.add(pod)
  expect(result.ips).toEqual([{ interface: 0, address: '10.30.0.5/24', gateway: '10.30.0.1' }])
  expect(result.routes).toEqual([{ dst: '10.31.0.0/16' }])
  expect(ip('-n', pod.name, 'route', 'show', '10.31.0.0/16')).toContain('via 10.30.0.1 dev net1')
  expect(leases()).toEqual(['10.30.0.5'])
  expect(client.check(pod)).toEqual(silence)
  expect(client.del(pod)).toEqual(silence)
  expect(leases()).toEqual([])
  client.detach([pod])
})

test('libcni check fails with the words of host-local when that has lost the lease', () => {
  using host = new Host()
  const { ipam, forget } = hostLocal(host)
  using client = new Libcni(host, network(host, { ipam }))
  const pod = host.pod()
  client.add(pod)
  forget()
  const words = expect.stringContaining('host-local: Failed to find address added by container ctr-0')
  expect(client.check(pod)).toMatchObject({ exitCode: 1, stderr: words })
  client.detach([pod])
})

test('libcni add fails with the words of host-local and leaves nothing when that has no address left', () => {
  using host = new Host()
  const { ipam, leases } = hostLocal(host)
  using client = new Libcni(host, network(host, { ipam }))
  const [first, second] = [host.pod(), host.pod()]
  client.add(first)
  const records = host.leaseFiles()
  const answer = client.call('add', second)
  expect(answer).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('no IP addresses available in range set'),
  })
  expect(host.linksOf(second.name)).toEqual([])
  expect(host.leaseFiles()).toEqual(records)
  expect(leases()).toEqual(['10.30.0.5'])
  expect(client.check(first)).toEqual(silence)
  client.detach([first, second])
})

test('libcni add, check and del go through the chain when tuning follows berth-macvlan', () => {
  using host = new Host()
  const tuning = {
    type: 'tuning',
    dataDir: join(host.dataDir, 'tuning'),
    mtu: 1300,
    mac: '02:00:00:00:00:13',
    sysctl: { 'net.ipv4.conf.net1.arp_filter': '1' },
  }
  const { cniVersion, name, plugins } = network(host)
  using client = new Libcni(host, { cniVersion, name, plugins: [...plugins, tuning] })
  const pod = host.pod()
  expect(client.add(pod)).toMatchObject({
    interfaces: [{ name: 'net1', mac: '02:00:00:00:00:13', sandbox: pod.netns }],
    ips: [{ interface: 0, address: fieldIps[0] }],
  })
  expect(ip('-n', pod.name, 'link', 'show', 'net1')).toMatch(/mtu 1300 .*02:00:00:00:00:13/s)
  const sysctl = 'cat /proc/sys/net/ipv4/conf/net1/arp_filter'
  expect(ip('netns', 'exec', pod.name, 'sh', '-c', sysctl)).toBe('1\n')
  expect(client.check(pod)).toEqual(silence)
  ip('-n', pod.name, 'link', 'set', 'net1', 'address', '02:00:00:00:00:14')
  expect(client.check(pod)).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('MAC of "net1"') })
  client.detach([pod])
})

test('libcni del leaves nothing when add failed in the plugin after berth-macvlan', () => {
  using host = new Host()
  const tuning = { type: 'tuning', sysctl: { 'net.ipv4.conf.none0.arp_filter': '1' } }
  const { cniVersion, name, plugins } = network(host)
  using client = new Libcni(host, { cniVersion, name, plugins: [...plugins, tuning] })
  const pod = host.pod()
  expect(client.call('add', pod)).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('type="tuning" failed'),
  })
  // libcni undoes nothing and remembers no result: the runtime's del is all there is, and it carries no prevResult.
  expect(host.linksOf(pod.name)).toEqual(['net1'])
  client.detach([pod])
})

test('libcni add leaves the lease of host-local alone when the attachment is alive already', () => {
  using host = new Host()
  const { ipam, leases } = hostLocal(host)
  using client = new Libcni(host, network(host, { ipam }))
  const pod = host.pod()
  client.add(pod)
  expect(client.call('add', pod).exitCode).toBe(1)
  expect(leases()).toEqual(['10.30.0.5'])
  expect(client.check(pod)).toEqual(silence)
  client.detach([pod])
})
