/** berth-sriov on an emulated NIC: what an attachment is, read back from the kernel, and gone again afterwards. */
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ip } from '../e2e/host.ts'
import { linkOf, otherNic, pciOf, pf, vfAttributes, vfState } from './guest.ts'
import { dual, macOf, ping, podLink, range, SriovHost } from './sriov.ts'

// A process costs seconds here: these go through an agent, and the tests of faults go without.
beforeAll(() => {
  process.env.BERTH_TEST_DOOR = 'agent'
})
afterAll(() => {
  delete process.env.BERTH_TEST_DOOR
})

test('ADD puts four VFs into four pods with all that was asked of them, and DEL gives each back as it was', () => {
  using host = new SriovHost()
  const asked = [
    { vlan: 100, vlanQoS: 3, spoofchk: 'off', trust: 'on' },
    { mac: '02-00-00-00-30-01', trust: 'on', mtu: 1400 },
    { max_tx_rate: 100, vlan: 200, allmulti: true },
    { mac: '02:00:00:00:30:03', spoofchk: 'off', min_tx_rate: 0, max_tx_rate: 0, link_state: 'auto' },
  ]
  const attached = asked.map((more, index) => {
    const pod = host.pod()
    const config = host.vf(index, { ipam: range, ...more })
    return { pod, config, result: host.add(pod, config) }
  })

  const [first, second, third, fourth] = vfAttributes()
  expect(first).toMatchObject({ vlan_list: [{ vlan: 100, qos: 3 }], spoofchk: false, trust: true })
  expect(second).toMatchObject({ address: '02:00:00:00:30:01', vlan_list: [{}], spoofchk: true, trust: true })
  expect(third).toMatchObject({ vlan_list: [{ vlan: 200 }], rate: { max_tx: 100, min_tx: 0 }, trust: false })
  expect(fourth).toMatchObject({ address: '02:00:00:00:30:03', spoofchk: false, rate: { max_tx: 0, min_tx: 0 } })
  for (const [index, { pod, config, result }] of attached.entries()) {
    const link = podLink(pod)
    expect(link).toMatchObject({ address: macOf(result), mtu: index === 1 ? 1400 : 1500 })
    expect(link?.flags).toContain('UP')
    expect(link?.flags.includes('ALLMULTI')).toBe(index === 2)
    expect(result.interfaces?.[0]).toMatchObject({ name: 'net1', sandbox: pod.netns, pciID: pciOf(index) })
    expect(linkOf(pciOf(index))).toBeUndefined()
    expect(host.call('CHECK', pod, { ...config, prevResult: result })).toMatchObject({ exitCode: 0, stdout: '' })
  }
  for (const { pod, config } of attached) host.del(pod, config)
})

test('two VFs without a VLAN reach each other and the wire, and one in a VLAN is apart from them', async () => {
  using host = new SriovHost()
  using peer = host.peer('10.30.0.200/24')
  // Whom the addresses were of before, as a neighbour has it in mind.
  for (const address of ['10.30.0.1', 'fd00:30::1'])
    ip('neigh', 'replace', address, 'lladdr', '02:00:00:00:99:99', 'dev', otherNic, 'nud', 'stale')
  const [near, far, apart] = [host.pod(), host.pod(), host.pod()]
  const configs = [host.vf(0, { ipam: dual }), host.vf(1, { ipam: range }), host.vf(2, { ipam: range, vlan: 100 })]
  const [a = {}, b = {}, c = {}] = configs
  host.add(near, a)
  host.add(far, b)
  host.add(apart, c)
  const knows = (address: string): string => ip('neigh', 'show', address, 'dev', otherNic)
  await expect.poll(() => knows('10.30.0.1'), { timeout: 10_000 }).toContain(podLink(near)?.address)
  await expect.poll(() => knows('fd00:30::1'), { timeout: 10_000 }).toContain(podLink(near)?.address)
  expect(ping(near, '10.30.0.2')).toContain('1 received')
  expect(ping(near, peer.address)).toContain('1 received')
  expect(ping(near, '10.30.0.3')).toContain('0 received')
  for (const [index, pod] of [near, far, apart].entries()) host.del(pod, configs[index] ?? {})
})

test('ADD without addresses sets the link up under its name, and DEL gives it back whatever the pod has made of it', () => {
  using host = new SriovHost()
  const pod = host.pod()
  const name = linkOf(pciOf(0)) ?? ''
  const result = host.add(pod, host.vf(0), { environment: { BERTH_LOG: 'debug' } })
  expect(result.ips).toBeUndefined()
  expect(podLink(pod)?.flags).toContain('UP')
  // A pod may do to its interface what it likes, as virtual machines' launchers do.
  ip('-n', pod.name, 'link', 'set', 'net1', 'promisc', 'on', 'allmulticast', 'on', 'mtu', '1300')
  ip('-n', pod.name, 'link', 'set', 'net1', 'down')
  ip('-n', pod.name, 'link', 'set', 'net1', 'name', 'k6t-net1')
  host.del(pod, host.vf(0))
  expect(linkOf(pciOf(0))).toBe(name)
})

test('ADD drops alternative names that are in the way, and DEL gives them back', () => {
  const name = linkOf(pciOf(0)) ?? ''
  for (const one of ['net1', 'enp1s0f0v0', 'taken']) ip('link', 'property', 'add', 'dev', name, 'altname', one)
  try {
    using host = new SriovHost()
    const pod = host.pod()
    ip('-n', pod.name, 'link', 'add', 'taken', 'type', 'veth', 'peer', 'name', 'other')
    host.add(pod, host.vf(0))
    expect(podLink(pod)?.altnames).toEqual(['enp1s0f0v0'])
    host.del(pod, host.vf(0))
    ip('-n', pod.name, 'link', 'del', 'taken')
    expect(vfState(0)).toMatchObject({ link: { altnames: expect.arrayContaining(['net1', 'enp1s0f0v0', 'taken']) } })
  } finally {
    for (const one of ['net1', 'enp1s0f0v0', 'taken']) ip('link', 'property', 'del', 'dev', name, 'altname', one)
  }
})

test('a VF that is held is not attached a second time, and the error names who holds it', () => {
  using host = new SriovHost()
  const [first, second] = [host.pod('ctr-1'), host.pod('ctr-2')]
  host.add(first, host.vf(0, { vlan: 10 }))
  const message = `Cannot attach "${pciOf(0)}": held by "ctr-1/net1" of network "net-a"`
  expect(host.refusal(second, host.vf(0, { vlan: 20 }))).toMatchObject({ code: 101, msg: message })
  // The DEL that follows a refused ADD is not the holder's.
  host.del(second, host.vf(0))
  expect(vfAttributes()[0]?.vlan_list).toMatchObject([{ vlan: 10 }])
  expect(podLink(first)?.flags).toContain('UP')
  host.del(first, host.vf(0))
})

const refused: [string, object, number, string][] = [
  [
    'an unknown PCI address',
    { deviceID: '0000:77:00.0' },
    7,
    'Cannot attach "0000:77:00.0": the node has no PCI device',
  ],
  ["a PF's address", { deviceID: '0000:01:00.0' }, 7, 'Cannot attach "0000:01:00.0": it is a PF, the interface "pf0"'],
  ['no PCI address', { deviceID: 'eth0' }, 7, 'Cannot use deviceID "eth0": write a PCI address'],
  ['VLAN 4095', { vlan: 4095 }, 7, 'Cannot read "vlan": 4095: must be 4094 or less'],
  ['a priority without a VLAN', { vlanQoS: 3 }, 7, 'Cannot use vlanQoS 3: it is the priority of a VLAN'],
  ['a word for spoofchk', { spoofchk: 'yes' }, 7, 'Cannot read "spoofchk": "yes": must be one of on, off'],
  ['an MTU above the PF’s', { mtu: 9000 }, 7, 'Cannot use mtu 9000: must be 0 to 1500, the MTU of PF "pf0"'],
  ['a link state, which igb does not have', { vlan: 5, link_state: 'enable' }, 102, 'Cannot set link_state enable: '],
  [
    '802.1ad, which igb does not have',
    { trust: 'on', vlan: 5, vlanProto: '802.1AD' },
    102,
    'Cannot set vlan 5 802.1ad: ',
  ],
  [
    'a rate that igb does not have',
    { vlan: 5, min_tx_rate: 9, max_tx_rate: 99 },
    102,
    'Cannot set min_tx_rate and max_tx_rate 9 and 99: ',
  ],
  ['an MTU that the driver refuses once it has moved', { vlan: 5, mtu: 20 }, 102, 'Cannot move "eth0" to "net1": '],
]

test('ADD names what it refuses, and leaves nothing changed', () => {
  using host = new SriovHost()
  const pod = host.pod()
  for (const [what, more, code, message] of refused) {
    const error = host.refusal(pod, host.vf(0, { ipam: range, ...more }))
    expect([what, error.code, error.msg]).toEqual([what, code, expect.stringContaining(message)])
    expect([what, host.leftovers()]).toEqual([what, []])
  }
})

test('ADD takes the first free VF of a PF, by its name, its address or its driver, and names the PF when all are held', () => {
  using host = new SriovHost()
  const wishes = ['pf0', '0000:01:00.0', { driver: 'igb' }, { vendor: '0x8086', name: 'pf0' }, 'pf0', 'pf0', 'pf0']
  const configOf = (wish: unknown) => host.vf(0, { deviceID: '', pf: wish })
  const pods = wishes.map((wish) => ({ pod: host.pod(), config: configOf(wish) }))
  const taken = pods.map(({ pod, config }) => host.add(pod, config).interfaces?.[0])
  expect(taken).toMatchObject(wishes.map((_, index) => ({ pciID: pciOf(index) })))
  expect(host.call('STATUS', host.pod(), configOf('pf0')).stdout).toContain('all of its VFs are held')
  expect(host.refusal(host.pod(), configOf('pf0'))).toMatchObject({
    code: 100,
    msg: 'Cannot attach to pf "pf0": none of its VFs is free',
  })
  expect(host.refusal(host.pod(), configOf('pf9')).msg).toBe('Cannot find pf "pf9": the node has no such NIC')
  for (const { pod, config } of pods) host.del(pod, config)
  expect(host.call('STATUS', host.pod(), configOf('pf0'))).toMatchObject({ exitCode: 0 })
  ip('link', 'set', pf, 'down')
  expect(JSON.parse(host.call('STATUS', host.pod(), configOf('pf0')).stdout)).toMatchObject({ code: 51 })
  ip('link', 'set', pf, 'up')
})

test('CHECK names what differs, in the pod and on the PF', () => {
  using host = new SriovHost()
  const pod = host.pod()
  const config = host.vf(0, { ipam: range, vlan: 100, mac: '02:00:00:00:30:05' })
  const checked = { ...config, prevResult: host.add(pod, config) }
  const difference = (...change: string[]): string => {
    ip(...change)
    return host.call('CHECK', pod, checked).stdout
  }
  expect(difference('link', 'set', pf, 'vf', '0', 'vlan', '7')).toContain(
    'vlan of VF 0 of \\"pf0\\" is 7, and should be 100',
  )
  ip('link', 'set', pf, 'vf', '0', 'vlan', '100')
  expect(difference('-n', pod.name, 'link', 'set', 'net1', 'mtu', '1300')).toContain('MTU of \\"net1\\" is 1300')
  ip('-n', pod.name, 'link', 'set', 'net1', 'mtu', '1500')
  expect(difference('-n', pod.name, 'addr', 'flush', 'dev', 'net1')).toContain('Address \\"10.30.0.1/24\\"')
  expect(difference('-n', pod.name, 'link', 'set', 'net1', 'down')).toContain('State of \\"net1\\" is down')
  host.del(pod, config)
  expect(host.call('CHECK', pod, checked).stdout).toContain('nothing is held')
})

test('ADD tells the runtime of the device in its file, beside what is there, and DEL removes what ADD has made', () => {
  using host = new SriovHost()
  const pod = host.pod()
  const path = `${host.dataDir}/devinfo/own.json`
  const config = host.vf(0, { runtimeConfig: { CNIDeviceInfoFile: path } })
  host.add(pod, config)
  const pci = { 'pci-address': pciOf(0), 'pf-pci-address': '0000:01:00.0' }
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ type: 'pci', version: '1.1.0', pci })
  host.del(pod, config)
  expect(() => readFileSync(path)).toThrow('ENOENT')
  writeFileSync(path, JSON.stringify({ type: 'pci', version: '1.0.0', pci: { 'rdma-device': 'mlx5_1' } }))
  host.add(pod, config)
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ pci: { ...pci, 'rdma-device': 'mlx5_1' } })
  host.del(pod, config)
  expect(readFileSync(path, 'utf8')).toContain('mlx5_1')
})

test('a NIC without a PF, as guests have them, is moved and given back, unless the node uses it', () => {
  const nicAddress = '0000:02:00.0'
  using host = new SriovHost(otherNic)
  const pod = host.pod()
  const config = host.vf(0, { deviceID: nicAddress, mac: '02:00:00:00:30:07', mtu: 1300 })
  expect(host.refusal(pod, { ...config, vlan: 5 }).msg).toBe(
    `Cannot attach "${nicAddress}": "vlan" is for its PF to set, and no PF of it can be seen here`,
  )
  ip('addr', 'add', '10.31.0.1/24', 'dev', otherNic)
  expect(host.refusal(pod, config).msg).toContain(`"${otherNic}" is the node's own: the node has an address on it`)
  ip('addr', 'del', '10.31.0.1/24', 'dev', otherNic)
  const before = ip('-json', 'link', 'show', otherNic)
  host.add(pod, config)
  expect(podLink(pod)).toMatchObject({ address: '02:00:00:00:30:07', mtu: 1300 })
  host.del(pod, config)
  const facts = (text: string) =>
    JSON.parse(text).map(({ address, mtu, ifname }: object & Record<string, unknown>) => ({ address, mtu, ifname }))
  expect(facts(ip('-json', 'link', 'show', otherNic))).toEqual(facts(before))
  expect(ip('link', 'show', otherNic)).toContain(',UP')
})

test('a VF that is a port of a bridge, or has a link on it, is the node’s own: refused by its address, and passed over by `pf`', () => {
  using host = new SriovHost()
  const pod = host.pod()
  const [port, master] = [linkOf(pciOf(0)) ?? '', linkOf(pciOf(1)) ?? '']
  ip('link', 'add', 'br-own', 'type', 'bridge')
  try {
    ip('link', 'set', port, 'master', 'br-own')
    ip('link', 'add', 'on-vf', 'link', master, 'type', 'macvlan', 'mode', 'bridge')
    expect(host.refusal(pod, host.vf(0)).msg).toContain(`"${port}" is the node's own: it is a port of "br-own"`)
    expect(host.refusal(pod, host.vf(1)).msg).toContain(`"${master}" is the node's own: "on-vf" is on it`)
    const config = host.vf(0, { deviceID: '', pf })
    expect(host.add(pod, config).interfaces).toMatchObject([{ pciID: pciOf(2) }])
    host.del(pod, config)
  } finally {
    ip('link', 'del', 'br-own')
    ip('link', 'del', 'on-vf')
  }
})
