/** A VF that a program in user space drives: the PF is told what was asked for, and there is nothing to move. */
import { expect, test } from 'vitest'
import { ip } from '../e2e/host.ts'
import { BoundVf, vfAttributes } from './guest.ts'
import { podLink, range, SriovHost } from './sriov.ts'

test('ADD, CHECK and DEL of a VF that is bound to vfio-pci set the PF, and report address and MAC', () => {
  using vf = new BoundVf(3)
  using host = new SriovHost()
  const pod = host.pod()
  const config = host.vf(3, { ipam: range, mac: '02:00:00:00:50:01', vlan: 300, trust: 'on' })
  const result = host.add(pod, config)
  expect(result.interfaces).toEqual([{ name: 'net1', mac: '02:00:00:00:50:01', sandbox: pod.netns, pciID: vf.pci }])
  expect(result.ips).toMatchObject([{ address: '10.30.0.1/24', interface: 0 }])
  expect(podLink(pod)).toBeUndefined()
  expect(vfAttributes()[3]).toMatchObject({ address: '02:00:00:00:50:01', vlan_list: [{ vlan: 300 }], trust: true })
  const checked = { ...config, prevResult: result }
  expect(host.call('CHECK', pod, checked)).toMatchObject({ exitCode: 0, stdout: '' })
  expect(host.refusal(host.pod(), config).msg).toContain('held by')
  host.del(pod, config)
})

test('DEL of a VF that is bound to vfio-pci sets the PF back when its namespace is gone, and sweeps as well', () => {
  using _vf = new BoundVf(3)
  using host = new SriovHost()
  const pod = host.pod()
  host.add(pod, host.vf(3, { vlan: 300 }))
  ip('netns', 'del', pod.name)
  host.del({ ...pod, netns: '' }, host.vf(3))
  expect(vfAttributes()[3]?.vlan_list).toEqual([{}])
  const swept = host.pod()
  host.add(swept, host.vf(3, { vlan: 400 }))
  ip('netns', 'del', swept.name)
  for (let look = 0; look < 2; look++) host.berth('leases', 'sweep', '--grace', '0')
  expect(vfAttributes()[3]?.vlan_list).toEqual([{}])
})

test('a device whose driver makes no interface of it, and is none of those for user space, is refused with its name', () => {
  using vf = new BoundVf(3, 'pci-stub')
  using host = new SriovHost()
  expect(host.refusal(host.pod(), host.vf(3)).msg).toBe(
    `Cannot attach "${vf.pci}": its driver "pci-stub" has no interface for it in the node's namespace`,
  )
})
