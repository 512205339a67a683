/** What is said of VLAN masters where the kernel has no VLANs; what is done where it has them is for the lab. */
import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { Host, ip } from './host.ts'

const netConfig = (vlan: number) => ({
  type: 'berth-ipam',
  networks: [{ name: 'net-a', subnets: [{ name: 'subnet1', cidr: '10.20.0.0/24', vlan }] }],
})

test.each<[object, string]>([
  [{ vlan: 20 }, 'Cannot find VLAN 20 of master "nic0": the host has no link of it'],
  [{ master: 'nic0.20' }, 'Cannot find master "nic0.20": the host has no such link, and none is made without "create'],
  [{ master: 'nic9.20' }, 'Cannot find master "nic9.20": the host has no such link'],
  [{ master: 'nic9.20', createVlan: true }, 'Cannot create master "nic9.20": the host has no link "nic9" for VLAN 20'],
  [{ createVlan: true }, 'Cannot use createVlan: master "nic0" names no VLAN'],
  [{ vlan: 4095 }, 'Cannot read "vlan": 4095: must be 4094 or less'],
  [{ vlan: 20, ipam: netConfig(30) }, 'Cannot attach to vlan 20: "ipam.networks" says 30'],
  [{ vlan: 20, createVlan: true, linkInContainer: true }, 'Cannot use createVlan: with linkInContainer'],
])('ADD with %j is one error and leaves nothing', (more, message) => {
  using host = new Host()
  const answer = host.call('ADD', host.pod(), host.config(more))
  expect(JSON.parse(answer.stdout)).toMatchObject({ code: 7, msg: expect.stringContaining(message) })
})

test('ADD names the link that has the name of a VLAN and is none', () => {
  using host = new Host()
  const pod = host.pod()
  ip('-n', host.node, 'link', 'add', 'nic0.20', 'type', 'bridge')
  const message = (more: object): string => JSON.parse(host.call('ADD', pod, host.config(more)).stdout).msg
  expect(message({ master: 'nic0.20', createVlan: true })).toBe(
    'Cannot use "nic0.20" as VLAN 20 of "nic0": it is a bridge link',
  )
  expect(message({ vlan: 20, createVlan: true })).toBe(
    'Cannot create "nic0.20" for VLAN 20 of "nic0": the host has a link of that name, which is a bridge link',
  )
  ip('-n', host.node, 'link', 'del', 'nic0.20')
})

test('ADD says that the kernel has no VLANs, and leaves nothing', () => {
  using host = new Host()
  const make = ['-n', host.node, 'link', 'add', 'trial', 'link', host.nic, 'type', 'vlan', 'id', '5']
  if (spawnSync('ip', make).status === 0) {
    ip('-n', host.node, 'link', 'del', 'trial')
    process.stderr.write('THE KERNEL HAS VLANS: their absence is not tested\n')
    return
  }
  const answer = host.call('ADD', host.pod(), host.config({ vlan: 20, createVlan: true }))
  expect(JSON.parse(answer.stdout)).toMatchObject({
    code: 102,
    msg: expect.stringMatching(/^Cannot create "nic0.20" for VLAN 20: the kernel has no VLANs \(8021q\): .*ENOTSUP/),
  })
})

test('a network of no VLAN, or of VLAN 0, is the master itself', () => {
  using host = new Host()
  const pod = host.pod()
  for (const more of [{ vlan: 0 }, { ipam: netConfig(0) }, { vlan: 0, ipam: netConfig(0), createVlan: true }]) {
    host.add(pod, host.config(more))
    host.call('DEL', pod, host.config(more))
  }
})
