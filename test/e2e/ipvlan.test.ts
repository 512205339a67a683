/** What berth-ipvlan says where its kernel has no ipvlan, and of what it cannot have; what it does where there is one is for the lab. */
import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { Host } from './host.ts'

const plugin = 'berth-ipvlan'

/** Whether the kernel can make a link of this kind. */
function kernelHas(host: Host, kind: string): boolean {
  const link = (...args: string[]) => spawnSync('ip', ['-n', host.node, 'link', ...args]).status === 0
  const isMade = link('add', 'trial', 'link', host.nic, 'type', kind)
  if (isMade) link('del', 'trial')
  return isMade
}

test('ADD says that the kernel has no ipvlan, and leaves nothing', () => {
  using host = new Host()
  const pod = host.pod()
  if (kernelHas(host, 'ipvlan')) {
    process.stderr.write('THE KERNEL HAS IPVLAN: its absence is not tested\n')
    return
  }
  const answer = host.call('ADD', pod, host.config({ type: plugin }), { plugin })
  expect(JSON.parse(answer.stdout)).toMatchObject({
    code: 102,
    msg: expect.stringMatching(/^Cannot create "net1" on master "nic0": the kernel has no ipvlan: .*ENOTSUP/),
  })
})

test.each<[object, string]>([
  [{ mac: '02:00:00:00:00:01' }, 'Cannot use mac "02:00:00:00:00:01": an ipvlan has its master\'s'],
  [{ runtimeConfig: { mac: '02:00:00:00:00:01' } }, 'Cannot use mac "02:00:00:00:00:01": '],
  [{ mac: 'fromIP' }, 'Cannot use mac "fromIP": '],
  [{ hostAccess: true }, 'Cannot use hostAccess: it is a key of berth-macvlan'],
  [{ mode: 'bridge' }, 'Cannot read "mode": "bridge": must be one of l2, l3, l3s'],
  [{ master: 'absent0' }, 'Cannot find master "absent0": the host has no such link'],
  [
    { ipam: undefined, prevResult: { cniVersion: '1.1.0', ips: [{ address: '10.20.0.9/24' }] } },
    'Cannot use "10.20.0.9/24" of prevResult: addresses of an ipvlan come from its own "ipam"',
  ],
  [{ mtu: 9000 }, 'Cannot use mtu 9000: must be 0 to 1500, the MTU of master "nic0"'],
])('ADD with %j is one error and leaves nothing', (more, message) => {
  using host = new Host()
  const answer = host.call('ADD', host.pod(), host.config({ type: plugin, ...more }), { plugin })
  expect(answer.exitCode).toBe(1)
  expect(JSON.parse(answer.stdout)).toMatchObject({ code: 7, msg: expect.stringContaining(message) })
})

test('STATUS says that the master is not there', () => {
  using host = new Host()
  const answer = host.call('STATUS', host.pod(), host.config({ type: plugin, master: 'absent0' }), { plugin })
  expect(JSON.parse(answer.stdout)).toMatchObject({ code: 51, msg: expect.stringContaining('"absent0"') })
})
