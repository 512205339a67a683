import { execFileSync, spawn } from 'node:child_process'
import { rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { Host, ip, type Pod } from './host.ts'

interface LinkDetails {
  readonly address: string
  readonly mtu: number
  readonly flags: string[]
  readonly linkinfo: { info_kind: string; info_data: { mode: string } }
}

function linkOf(pod: Pod, name = 'net1'): LinkDetails {
  const [link]: LinkDetails[] = JSON.parse(ip('-json', '-d', '-n', pod.name, 'link', 'show', name))
  if (link === undefined) throw new Error(`no link ${name}`)
  return link
}

const ping = (from: Pod, address: string): string =>
  ip('netns', 'exec', from.name, 'ping', '-c', '1', '-W', '2', address)
const plain = (cidr: string | undefined): string => (cidr ?? '').replace(/\/.*/, '')

const dualStack = {
  type: 'berth-ipam',
  ipRanges: [{ range: '10.30.0.0/24' }, { range: 'fd00:30::/64' }],
  routes: [{ dst: '0.0.0.0/0' }, { dst: 'fd00:99::/64', gw: 'fd00:30::1' }],
  gateway: '10.30.0.1',
}

test('berth-macvlan attaches two pods that can ping each other when the runtime calls ADD', () => {
  using host = new Host()
  const pods = [host.pod(), host.pod()]
  const results = pods.map((pod) => host.add(pod, host.config()))
  expect(results.map(({ ips }) => ips?.[0]?.address)).toEqual(['10.20.0.10/24', '10.20.0.11/24'])
  const [first, second] = pods
  if (first === undefined || second === undefined) throw new Error('two pods')
  expect(ping(first, '10.20.0.11')).toContain('1 received')
  expect(ping(second, '10.20.0.10')).toContain('1 received')
  for (const pod of pods) expect(host.call('DEL', pod, host.config())).toMatchObject({ exitCode: 0, stdout: '' })
})

test('ADD gives usable IPv4 and IPv6 addresses and routes at once when the network is dual stack', () => {
  using host = new Host()
  const [first, second] = [host.pod(), host.pod()]
  const config = host.config({ ipam: dualStack })
  const result = host.add(first, config)
  const other = host.add(second, config)
  expect(result.ips).toEqual([
    { interface: 0, address: '10.30.0.2/24', gateway: '10.30.0.1' },
    { interface: 0, address: 'fd00:30::2/64' },
  ])
  expect(ping(first, plain(other.ips?.[1]?.address))).toContain('1 received')
  expect(ip('-n', first.name, 'route', 'show', 'default')).toContain('via 10.30.0.1 dev net1')
  expect(ip('-n', first.name, '-6', 'route', 'show', 'fd00:99::/64')).toContain('via fd00:30::1 dev net1')
  // Tentative would mean that the address cannot be used yet.
  expect(ip('-n', first.name, '-6', 'addr', 'show', 'scope', 'global')).not.toContain('tentative')
  for (const pod of [first, second]) host.call('DEL', pod, config)
})

test('ADD answers with link, MAC, MTU and sandbox when the config speaks 1.1.0', () => {
  using host = new Host()
  const pod = host.pod()
  const config = host.config({ mtu: 1400, mac: '02:00:00:00:00:2A', dns: { nameservers: ['10.20.0.53'] } })
  const result = host.add(pod, config)
  expect(result).toEqual({
    cniVersion: '1.1.0',
    interfaces: [{ name: 'net1', mac: '02:00:00:00:00:2a', mtu: 1400, sandbox: pod.netns }],
    ips: [{ interface: 0, address: '10.20.0.10/24' }],
    dns: { nameservers: ['10.20.0.53'] },
  })
  expect(linkOf(pod)).toMatchObject({ mtu: 1400, address: '02:00:00:00:00:2a', linkinfo: { info_kind: 'macvlan' } })
  expect(linkOf(pod).flags).toContain('UP')
  host.call('DEL', pod, config)
})

test.each(['bridge', 'private', 'vepa', 'passthru', ''])(
  'ADD makes the kernel link in mode "%s" when the config says so',
  (mode) => {
    using host = new Host()
    const pod = host.pod()
    const config = host.config({ mode })
    const result = host.add(pod, config)
    const link = linkOf(pod)
    expect(link.linkinfo.info_data.mode).toBe(mode === '' ? 'bridge' : mode)
    expect(link.address).toBe(result.interfaces?.[0]?.mac)
    expect(host.call('CHECK', pod, { ...config, prevResult: result })).toMatchObject({ exitCode: 0 })
    host.call('DEL', pod, config)
  },
)

test('ADD takes the MAC from runtimeConfig before CNI_ARGS, args.cni and the config when several name one', () => {
  using host = new Host()
  const pod = host.pod()
  const mac = (last: number): string => `02:00:00:00:00:0${last}`
  const args = { environment: { CNI_ARGS: `IgnoreUnknown=1;FOO=1;MAC=${mac(2)}` } }
  const asking = [
    [host.config({ mac: mac(4), args: { cni: { mac: mac(3) } }, RuntimeConfig: { mac: mac(1) } }), mac(1), args],
    [host.config({ mac: mac(4), args: { cni: { mac: mac(3) } } }), mac(2), args],
    [host.config({ mac: mac(4), args: { cni: { mac: mac(3) } } }), mac(3), {}],
    [host.config({ mac: mac(4) }), mac(4), {}],
  ] as const
  for (const [config, expected, options] of asking) {
    expect(host.add(pod, config, options).interfaces?.[0]?.mac).toBe(expected)
    host.call('DEL', pod, config)
  }
})

test('ADD attaches on layer 2 only when the config has no ipam', () => {
  using host = new Host()
  const pod = host.pod()
  const config = host.config({ ipam: undefined })
  const result = host.add(pod, config)
  expect(result.ips).toBeUndefined()
  expect(linkOf(pod).flags).toContain('UP')
  host.call('DEL', pod, config)
})

test('ADD uses the link of the default route when the config names no master', () => {
  using host = new Host()
  const pod = host.pod()
  ip('-n', host.node, 'addr', 'add', '192.0.2.1/24', 'dev', host.nic)
  ip('-n', host.node, 'route', 'add', 'default', 'via', '192.0.2.254')
  const config = host.config({ master: undefined })
  const result = host.add(pod, config)
  expect(host.call('CHECK', pod, { ...host.config(), prevResult: result }).stdout).toBe('')
  host.call('DEL', pod, config)
})

test('ADD finds the master in the pod when linkInContainer is true', () => {
  using host = new Host()
  const pod = host.pod()
  ip('-n', pod.name, 'link', 'add', 'inner', 'type', 'veth', 'peer', 'name', 'inner-peer')
  const config = host.config({ master: 'inner', linkInContainer: true })
  host.add(pod, config)
  expect(host.linksOf(pod.name)).toContain('net1')
  host.call('DEL', pod, config)
  expect(host.linksOf(pod.name)).not.toContain('net1')
  ip('-n', pod.name, 'link', 'del', 'inner')
})

const shapes = [
  ['0.1.0', (result: object) => expect(result).toMatchObject({ ip4: { ip: '10.20.0.10/24' }, dns: {} })],
  ['0.2.0', (result: object) => expect(result).toMatchObject({ ip4: { ip: '10.20.0.10/24' }, dns: {} })],
  ['0.3.0', (result: object) => expect(result).toMatchObject({ ips: [{ version: '4', interface: 0 }], dns: {} })],
  ['0.3.1', (result: object) => expect(result).toMatchObject({ ips: [{ version: '4', interface: 0 }], dns: {} })],
  ['0.4.0', (result: object) => expect(result).toMatchObject({ ips: [{ version: '4', interface: 0 }], dns: {} })],
  ['1.0.0', (result: object) => expect(result).toMatchObject({ ips: [{ interface: 0, address: '10.20.0.10/24' }] })],
  ['1.1.0', (result: object) => expect(result).toMatchObject({ interfaces: [{ name: 'net1', mtu: 1500 }] })],
] as const

test.each(shapes)(
  'ADD and DEL speak the result shape of the specification when cniVersion is %s',
  (cniVersion, expectShape) => {
    using host = new Host()
    const pod = host.pod()
    const config = host.config({ cniVersion })
    const result = host.add(pod, config)
    expect(result.cniVersion).toBe(cniVersion)
    expectShape(result)
    expect(host.call('DEL', pod, { ...config, prevResult: result })).toMatchObject({ exitCode: 0, stdout: '' })
  },
)

test('DEL succeeds when there is nothing to remove: twice, never added', () => {
  using host = new Host()
  const pod = host.pod()
  const config = host.config()
  expect(host.call('DEL', host.pod('never-added'), config)).toMatchObject({ exitCode: 0, stdout: '' })
  host.add(pod, config)
  expect(host.call('DEL', pod, config)).toMatchObject({ exitCode: 0, stdout: '' })
  expect(host.call('DEL', pod, config)).toMatchObject({ exitCode: 0, stdout: '' })
})

test('DEL removes link and lease when the runtime has lost the namespace that is still alive', () => {
  using host = new Host()
  const pod = host.pod()
  const plainFile = join(host.dataDir, 'no-namespace')
  writeFileSync(plainFile, '')
  for (const netns of ['', '/run/netns/gone', plainFile, host.pod('another').netns]) {
    host.add(pod, host.config())
    expect(host.call('DEL', { ...pod, netns }, host.config())).toMatchObject({ exitCode: 0, stdout: '' })
    expect(host.leftovers()).toEqual([])
  }
})

test('DEL releases the lease when the namespace is gone', () => {
  using host = new Host()
  const pod = host.pod()
  host.add(pod, host.config())
  ip('netns', 'del', pod.name)
  expect(host.call('DEL', pod, host.config())).toMatchObject({ exitCode: 0, stdout: '' })
  expect(host.leaseFiles()).toEqual([])
})

test('DEL removes its own link by index and no other when something renamed it or has its name', () => {
  using host = new Host()
  const pod = host.pod()
  const [config, other] = [host.config(), host.config({ name: 'net-b' })]
  host.add(pod, config)
  const refused = host.call('ADD', pod, other)
  expect(refused).toMatchObject({ exitCode: 1 })
  expect(JSON.parse(refused.stdout)).toMatchObject({ code: 103, msg: expect.stringContaining('"net1"') })
  // A runtime follows a failed ADD with a DEL: it must not take the first network's link away.
  expect(host.call('DEL', pod, other)).toMatchObject({ exitCode: 0 })
  expect(host.linksOf(pod.name)).toEqual(['net1'])
  ip('-n', pod.name, 'link', 'set', 'net1', 'down')
  ip('-n', pod.name, 'link', 'set', 'net1', 'name', 'renamed')
  host.call('DEL', pod, config)
  expect(host.linksOf(pod.name)).toEqual([])
})

test('DEL finds the namespace of a pod that lives on when its path is gone', async () => {
  using host = new Host()
  const pod = host.pod()
  host.add(pod, host.config())
  const living = spawn('ip', ['netns', 'exec', pod.name, 'sleep', '60'], { stdio: 'ignore' })
  try {
    const inPod = `/proc/${living.pid}/ns/net`
    await vi.waitFor(() => expect(statSync(inPod).ino).toBe(statSync(pod.netns).ino))
    execFileSync('umount', [pod.netns])
    rmSync(pod.netns)
    expect(host.call('DEL', pod, host.config())).toMatchObject({ exitCode: 0, stdout: '' })
    const links = execFileSync('nsenter', [`--net=${inPod}`, 'ip', '-o', 'link'], { encoding: 'utf8' })
    expect([links.includes('net1'), host.leaseFiles()]).toEqual([false, []])
  } finally {
    living.kill('SIGKILL')
  }
})

test('ADD announces the addresses, so that a neighbour forgets who had them before', async () => {
  using host = new Host()
  const [neighbour, former, next] = [host.pod('neighbour'), host.pod('former'), host.pod('next')]
  const ipam = { type: 'berth-ipam', ipRanges: [{ range: '10.30.0.0/24' }, { range: 'fd00:30::/64' }] }
  const asking = (last: number): object =>
    host.config({ ipam, runtimeConfig: { ips: [`10.30.0.${last}`, `fd00:30::${last}`] } })
  host.add(neighbour, asking(7))
  host.add(former, asking(8))
  for (const address of ['10.30.0.8', 'fd00:30::8']) ping(neighbour, address)
  host.call('DEL', former, asking(8))
  const mac = host.add(next, asking(8)).interfaces?.[0]?.mac
  await vi.waitFor(() => {
    for (const address of ['10.30.0.8', 'fd00:30::8']) {
      expect(ip('-n', neighbour.name, 'neigh', 'show', 'to', address)).toContain(`lladdr ${mac}`)
    }
  }, 3000)
  host.call('DEL', neighbour, asking(7))
  host.call('DEL', next, asking(8))
})
