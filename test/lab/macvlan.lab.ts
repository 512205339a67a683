/** berth-macvlan on masters that this machine's kernel has not. */
import { expect, test } from 'vitest'
import { ip, type Pod } from '../e2e/host.ts'
import { LabHost, Link, node, otherNic, pf } from './guest.ts'

function ping(from: Pod, address: string): string {
  try {
    return ip('netns', 'exec', from.name, 'ping', '-c', '1', '-W', '2', address)
  } catch (error) {
    return error instanceof Error && 'stdout' in error ? String(error.stdout) : String(error)
  }
}

function masterOf(pod: Pod): string {
  const [link] = JSON.parse(ip('-json', '-n', pod.name, 'link', 'show', 'net1'))
  const [master] = JSON.parse(ip('-json', '-n', node, 'link', 'show')).filter(
    ({ ifindex }: { ifindex: number }) => ifindex === link.link_index,
  )
  return master.ifname
}

test('ADD, CHECK and DEL work when the master is a dummy', () => {
  using dummy = new Link('dummy7', 'type', 'dummy')
  using host = new LabHost(dummy.name)
  const pods = [host.pod(), host.pod()] as const
  const results = pods.map((pod) => host.add(pod, host.config()))
  expect(masterOf(pods[0])).toBe('dummy7')
  expect(ping(pods[0], '10.20.0.11')).toContain('1 received')
  for (const [index, pod] of pods.entries()) {
    const config = host.config({ prevResult: results[index] })
    expect(host.call('CHECK', pod, config)).toMatchObject({ exitCode: 0, stdout: '' })
    expect(host.call('DEL', pod, config)).toMatchObject({ exitCode: 0, stdout: '' })
  }
})

test('ADD puts the pod into the VLAN when the master is a VLAN link of a NIC', () => {
  using vlan = new Link(`${pf}.20`, 'link', pf, 'type', 'vlan', 'id', '20')
  using host = new LabHost(vlan.name)
  const [pod, peer, stranger] = [host.pod(), host.pod(), host.pod()]
  // Behind the switch: one in the same VLAN, one in another with the same address.
  for (const [other, id] of [
    [peer, '20'],
    [stranger, '30'],
  ] as const) {
    ip('link', 'add', 'link', otherNic, 'name', 'wire', 'netns', other.name, 'type', 'vlan', 'id', id)
    ip('-n', other.name, 'addr', 'add', id === '20' ? '10.20.0.1/24' : '10.20.0.2/24', 'dev', 'wire')
    ip('-n', other.name, 'link', 'set', 'wire', 'up')
  }
  const prevResult = host.add(pod, host.config())
  expect(masterOf(pod)).toBe('pf0.20')
  expect(ping(pod, '10.20.0.1')).toContain('1 received')
  expect(ping(pod, '10.20.0.2')).toContain('0 received')
  expect(host.call('CHECK', pod, host.config({ prevResult }))).toMatchObject({ exitCode: 0 })
  expect(host.call('DEL', pod, host.config({ prevResult }))).toMatchObject({ exitCode: 0, stdout: '' })
  for (const { name } of [peer, stranger]) ip('-n', name, 'link', 'del', 'wire')
})
