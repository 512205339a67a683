/** The packaged plugins under a real CNI client: Debian's libcni, by the driver in libcni/driver. */
import { beforeAll, expect, test } from 'vitest'
import { Host, ip, type Pod } from './host.ts'
import { buildDriver } from './libcni/build.ts'
import { Libcni, exampleNetwork as network, ping, silence } from './libcni/client.ts'

const capabilities = { ips: true, mac: true }
const fieldIps = ['172.17.0.30/24', '172.17.0.31/24']

// Not in the first test: compiling takes longer than all of them.
beforeAll(() => {
  buildDriver()
})

const linkText = (pod: Pod): string => ip('-n', pod.name, 'link', 'show', 'net1')

test.each(['0.3.1', '0.4.0', '1.0.0'])(
  'libcni add gives two pods the next addresses and they reach each other when the conflist speaks %s',
  (cniVersion) => {
    using host = new Host()
    using client = new Libcni(host, network(host, {}, cniVersion))
    const [first, second] = [host.pod(), host.pod()]
    const result = client.add(first)
    const version = cniVersion === '1.0.0' ? {} : { version: '4' }
    expect(result).toMatchObject({
      cniVersion,
      interfaces: [{ name: 'net1', sandbox: first.netns }],
      ips: [{ ...version, interface: 0, address: fieldIps[0] }],
    })
    expect(linkText(first)).toContain(result.interfaces?.[0]?.mac)
    expect(client.add(second).ips?.[0]?.address).toBe(fieldIps[1])
    expect(ping(first, '172.17.0.31')).toContain('1 received')
    expect(ping(second, '172.17.0.30')).toContain('1 received')
    client.detach([first, second])
  },
)

test('libcni add fails with the code of the plugin and changes nothing when the interface exists', () => {
  using host = new Host()
  using client = new Libcni(host, network(host))
  const pod = host.pod()
  client.add(pod)
  const before = linkText(pod)
  const again = client.call('add', pod)
  expect(again).toMatchObject({ exitCode: 1, stdout: '', stderr: expect.stringMatching(/^code 103: .*"net1"/) })
  expect(linkText(pod)).toBe(before)
  expect(client.check(pod)).toEqual(silence)
  client.detach([pod])
})

test.each(['0.4.0', '1.0.0'])(
  'libcni check succeeds when nothing was changed and the conflist speaks %s',
  (version) => {
    using host = new Host()
    using client = new Libcni(host, network(host, { mtu: 1400 }, version))
    const pod = host.pod()
    client.add(pod)
    expect(client.check(pod)).toEqual(silence)
    client.detach([pod])
  },
)

const changes: [string, string[], RegExp][] = [
  ['the MTU', ['link', 'set', 'net1', 'mtu', '1300'], /MTU of "net1" is 1300, and should be 1400/],
  [
    'the MAC',
    ['link', 'set', 'net1', 'address', '02:00:00:00:00:99'],
    /MAC of "net1" is 02:00:00:00:00:99, and should/,
  ],
  ['the address', ['addr', 'del', fieldIps[0] ?? '', 'dev', 'net1'], /Address "172.17.0.30\/24" of "net1" is absent/],
  ['the state', ['link', 'set', 'net1', 'down'], /State of "net1" is down, and should be up/],
]

test.each(changes)('libcni check names the difference when %s of the link was changed', (_, change, difference) => {
  using host = new Host()
  using client = new Libcni(host, network(host, { mtu: 1400 }))
  const pod = host.pod()
  client.add(pod)
  ip('-n', pod.name, ...change)
  expect(client.check(pod)).toMatchObject({ exitCode: 1, stdout: '', stderr: expect.stringMatching(difference) })
  client.detach([pod])
})

test('libcni del gives the address back when the namespace is gone, or the runtime names none', () => {
  using host = new Host()
  using client = new Libcni(host, network(host))
  const [gone, unnamed, next] = [host.pod(), host.pod(), host.pod()]
  expect(client.addAll([gone, unnamed])).toEqual(fieldIps)
  for (const pod of [gone, unnamed]) ip('netns', 'del', pod.name)
  expect(client.del(gone)).toEqual(silence)
  expect(client.del({ ...unnamed, netns: '' })).toEqual(silence)
  // The two that were given back rest for a while.
  expect(client.addAll([next])).toEqual(['172.17.0.32/24'])
  expect(host.leaseFiles()).toHaveLength(2)
  client.detach([next])
})

test('libcni add gives the address and the MAC asked for when the conflist declares the capabilities', () => {
  using host = new Host()
  using client = new Libcni(host, network(host, { capabilities }))
  const pod = host.pod()
  // CNI_ARGS lose: capabilities are the newer way to say the same thing.
  const result = client.add(pod, {
    capabilities: { ips: ['172.17.0.66/24'], mac: '02:00:00:00:00:66' },
    args: [['IP', '172.17.0.67']],
  })
  expect(result).toMatchObject({ interfaces: [{ mac: '02:00:00:00:00:66' }], ips: [{ address: '172.17.0.66/24' }] })
  expect(linkText(pod)).toContain('02:00:00:00:00:66')
  expect(client.check(pod)).toEqual(silence)
  client.detach([pod])
})

test('libcni add gives the address asked for in CNI_ARGS when they come among those of Multus', () => {
  using host = new Host()
  using client = new Libcni(host, network(host, { capabilities }))
  const pod = host.pod()
  const args = [
    ['IgnoreUnknown', 'true'],
    ['K8S_POD_NAMESPACE', 'openstack'],
    ['K8S_POD_NAME', 'keystone-0'],
    ['K8S_POD_INFRA_CONTAINER_ID', pod.containerId],
    ['K8S_POD_UID', 'b0a7'],
    ['IP', '172.17.0.45'],
  ] as const
  expect(client.add(pod, { args }).ips?.[0]?.address).toBe('172.17.0.45/24')
  client.detach([pod])
})

test('libcni add fails and names the holder when the address asked for is held', () => {
  using host = new Host()
  using client = new Libcni(host, network(host, { capabilities }))
  const [holder, late] = [host.pod('holder'), host.pod('late')]
  const wishes = { capabilities: { ips: ['172.17.0.44'] } }
  client.add(holder, wishes)
  const answer = client.call('add', late, wishes)
  expect(answer).toMatchObject({
    exitCode: 1,
    stdout: '',
    stderr: expect.stringMatching(/"172.17.0.44".*"holder\/net1"/),
  })
  expect(host.linksOf(late.name)).toEqual([])
  client.detach([holder, late])
})

test('libcni validate finds the plugins, their versions and capabilities when asked before an add', () => {
  using host = new Host()
  const versions = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0']
  using client = new Libcni(host, network(host, { capabilities }))
  expect(JSON.parse(client.call('validate').stdout)).toEqual(['ips', 'mac'])
  expect(JSON.parse(client.call('version').stdout)).toEqual({ 'berth-macvlan': versions })
  for (const version of versions) {
    using known = new Libcni(host, network(host, {}, version))
    expect(known.call('validate').exitCode).toBe(0)
  }
  using unknown = new Libcni(host, network(host, {}, '9.9.9'))
  const refused = { exitCode: 1, stderr: expect.stringContaining('does not support config version "9.9.9"') }
  expect(unknown.call('validate')).toMatchObject(refused)
})
