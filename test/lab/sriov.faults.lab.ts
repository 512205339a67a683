/** berth-sriov when something fails, is killed, or is gone: a VF is never left other than it was, and never taken from who has it. */
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { NetlinkSocket } from '../../shared/host/netlink.ts'
import { insideNetns, openNetns } from '../../shared/host/netns.ts'
import { inNode } from '../e2e/agent.ts'
import { binaries, ip, type Pod } from '../e2e/host.ts'
import { linkOf, pciOf, pf, vfAttributes } from './guest.ts'
import { podLink, range, SriovHost } from './sriov.ts'

/** Every kind of step: the PF, the MAC, the move, addresses. */
const all = { ipam: range, mac: '02:00:00:00:40:01', vlan: 100, vlanQoS: 3, trust: 'on', spoofchk: 'off', mtu: 1400 }

/** Its driver takes the MAC from a trusted VF only: it is one for a moment, and must not stay it. */
const { trust: _, ...untrusted } = all

/**
 * Runs a call that fails, or is killed, when it enters a namespace for the nth time: that is how it begins whatever it asks of the kernel.
 * Undefined when it never did.
 */
function runWithFault(host: SriovHost, verb: string, pod: Pod, fault: string, nth: number): number | null | undefined {
  const trace = join(host.dataDir, 'trace')
  const [command = '', ...args] = [
    ...inNode(host.node),
    ...[
      'strace',
      '--quiet=all',
      '-o',
      trace,
      '-e',
      'trace=setns',
      '-e',
      `inject=setns:${fault.replace('+', '')}:when=${nth}${fault.endsWith('+') ? '+' : ''}`,
    ],
    join(binaries, 'berth-sriov'),
  ]
  const done = spawnSync(command, args, {
    input: JSON.stringify(host.vf(0, fault === killed ? untrusted : all)),
    env: host.environment(verb, pod),
    timeout: 60_000,
    killSignal: 'SIGKILL',
  })
  const calls = readFileSync(trace, 'utf8').match(/^setns\(/gm)?.length ?? 0
  rmSync(trace)
  return calls < nth ? undefined : done.status
}

/** Into the pod's namespace or the node's, and home again. */
const callsOfRequest = 2
/** Some thirty calls, each seconds long here. */
const manyCallsMs = 600_000
const killed = 'signal=SIGKILL'
const failed = 'error=ENOMEM'
/** The look for a carrier, and the word itself. */
const harmlessMax = 4
/** From there on everything does: nothing can be undone either. */
const failing = `${failed}+`

test.each([
  ['is killed', killed, callsOfRequest],
  ['fails', failed, callsOfRequest],
  ['fails for good', failing, 3 * callsOfRequest],
])(
  'whatever ADD asks of the kernel when it %s there, it or its DEL leaves the VF as it was',
  (_, fault, step) => {
    using host = new SriovHost()
    const pod = host.pod()
    let reached = 0
    let harmless = 0
    for (let nth = 1; ; nth += step) {
      const exitCode = runWithFault(host, 'ADD', pod, fault, nth)
      const isOver = exitCode === undefined
      if (!isOver) reached++
      if (exitCode === 0) harmless++
      // What has failed has undone itself.
      if (exitCode !== 1 || fault !== failed) {
        // What is still held keeps its addresses, which may be on it.
        if (fault === failing && host.held().length > 0) expect([nth, host.leaseFiles()]).not.toEqual([nth, []])
        host.del(pod, host.vf(0, all))
      }
      expect([nth, host.leftovers()]).toEqual([nth, []])
      if (isOver) break
    }
    expect(reached).toBeGreaterThan(3)
    // Of all that is asked, only the announcements may fail.
    expect(harmless).toBeLessThanOrEqual(harmlessMax)
  },
  manyCallsMs,
)

test.each([
  ['is killed', killed, 1],
  ['fails', failed, 1 + callsOfRequest],
])(
  'whatever DEL asks of the kernel when it %s there, the next DEL leaves the VF as it was',
  (_, fault, first) => {
    using host = new SriovHost()
    const pod = host.pod()
    let reached = 0
    // Each takes every other one: the two of them meet all.
    for (let nth = first; ; nth += 2 * callsOfRequest) {
      host.add(pod, host.vf(0, all))
      const isOver = runWithFault(host, 'DEL', pod, fault, nth) === undefined
      host.del(pod, host.vf(0, all))
      expect([nth, host.leftovers()]).toEqual([nth, []])
      if (isOver) break
      reached++
    }
    expect(reached).toBeGreaterThan(5)
  },
  manyCallsMs,
)

test('ADD of a VF of which nothing is asked sends the kernel one change: the move, with all else in it', () => {
  using host = new SriovHost()
  const pod = host.pod()
  const [command = '', ...args] = [
    ...inNode(host.node),
    ...['strace', '-f', '-xx', '--quiet=all', '-e', 'trace=write,writev,sendto,sendmsg'],
    join(binaries, 'berth-sriov'),
  ]
  const env = host.environment('ADD', pod)
  const { status, stderr } = spawnSync(command, args, { input: JSON.stringify(host.vf(0)), encoding: 'utf8', env })
  expect(status).toBe(0)
  // The message's length, then its type: RTM_NEWLINK and RTM_SETLINK.
  const sent = (type: string) => stderr.match(new RegExp(`"(?:\\\\x..){2}\\\\x00\\\\x00\\\\x${type}\\\\x00`, 'g')) ?? []
  expect([sent('10').length, sent('13').length]).toEqual([1, 0])
  expect(podLink(pod)?.flags).toContain('UP')
  host.del(pod, host.vf(0))
})

function openSocketIn(path: string): Disposable {
  using netns = openNetns(path, false)
  return insideNetns(netns, () => new NetlinkSocket())
}

test('DEL gives the VF back when its namespace is gone, and nobody says which one it was', () => {
  using host = new SriovHost()
  const pod = host.pod()
  host.add(pod, host.vf(0, all))
  ip('netns', 'del', pod.name)
  host.del({ ...pod, netns: '' }, host.vf(0, all))
  // Again, as runtimes do.
  host.del({ ...pod, netns: '' }, host.vf(0, all))
})

test.each<[string, RegExp, (path: string) => Disposable]>([
  ['an open descriptor', /^$/, (path) => openNetns(path, false)],
  // Nothing shows whose it is: the driver makes a new interface.
  ['a socket', /is nowhere to be seen/, openSocketIn],
])('DEL gives the VF back when only %s keeps its namespace', (_, said, keep) => {
  using host = new SriovHost()
  const pod = host.pod()
  const before = vfAttributes()[0]
  host.add(pod, host.vf(0, { vlan: 100 }))
  using _kept = keep(pod.netns)
  ip('netns', 'del', pod.name)
  const { exitCode, stderr } = host.call('DEL', { ...pod, netns: '' }, host.vf(0))
  expect(exitCode).toBe(0)
  expect(stderr).toMatch(said)
  expect(vfAttributes()[0]).toEqual(before)
})

test('DEL gives the VF another name when its own has gone to another interface, and says so', () => {
  using host = new SriovHost()
  const pod = host.pod()
  const name = linkOf(pciOf(0)) ?? ''
  host.add(pod, host.vf(0))
  ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'other')
  const { exitCode, stderr } = host.call('DEL', pod, host.vf(0))
  expect(exitCode).toBe(0)
  expect(stderr).toContain(`"${name}" is the name of another interface by now`)
  ip('link', 'del', name)
  ip('link', 'set', linkOf(pciOf(0)) ?? '', 'name', name)
})

test('a DEL that comes late does not touch the VF that another pod has got', () => {
  using host = new SriovHost()
  const [gone, next] = [host.pod(), host.pod()]
  host.add(gone, host.vf(0, { vlan: 100 }))
  ip('netns', 'del', gone.name)
  // Its DEL was lost: the next one heals.
  const { exitCode, stderr } = host.call('ADD', next, host.vf(0, { vlan: 200 }))
  expect(exitCode).toBe(0)
  expect(stderr).toContain(`"${pciOf(0)}" was still held by "${gone.containerId}/net1" of network "net-a"`)
  host.del({ ...gone, netns: '' }, host.vf(0))
  expect(vfAttributes()[0]?.vlan_list).toMatchObject([{ vlan: 200 }])
  expect(podLink(next)?.flags).toContain('UP')
  host.del(next, host.vf(0))
})

test('GC gives back what the runtime does not know and whose pod is gone, and keeps what is alive', () => {
  using host = new SriovHost()
  const [alive, gone] = [host.pod(), host.pod()]
  host.add(alive, host.vf(0, { vlan: 100 }))
  host.add(gone, host.vf(1, { vlan: 200 }))
  ip('netns', 'del', gone.name)
  const answer = host.call('GC', alive, { ...host.vf(0), 'cni.dev/valid-attachments': [] })
  expect(answer).toMatchObject({ exitCode: 0, stdout: '' })
  expect(host.held()).toEqual([pciOf(0)])
  expect(vfAttributes()[1]?.vlan_list).toEqual([{}])
  host.del(alive, host.vf(0))
})

test('a sweep gives back what nobody holds any more, at its second look', () => {
  using host = new SriovHost()
  const [alive, gone] = [host.pod(), host.pod()]
  host.add(alive, host.vf(0, { vlan: 100 }))
  host.add(gone, host.vf(1, { vlan: 200 }))
  ip('netns', 'del', gone.name)
  expect(host.berth('vf', 'list')).toMatch(
    new RegExp(`${pciOf(0)} .* vlan 100 .* held\\n${pciOf(1)} .* vlan 200 .* gone\\n`),
  )
  expect(host.berth('leases', 'sweep', '--grace', '0')).toMatch(new RegExp(`^waiting +${pciOf(1)} `, 'm'))
  expect(host.held()).toEqual([pciOf(0), pciOf(1)])
  expect(host.berth('leases', 'sweep', '--grace', '0')).toMatch(new RegExp(`^restored +${pciOf(1)} `, 'm'))
  expect(host.held()).toEqual([pciOf(0)])
  expect(linkOf(pciOf(1))).toBe('eth1')
  expect(vfAttributes()[1]?.vlan_list).toEqual([{}])
  host.del(alive, host.vf(0))
})

test('a holding that is damaged keeps its VF from everybody, and is named', () => {
  using host = new SriovHost()
  const pod = host.pod()
  host.add(pod, host.vf(0, { vlan: 100 }))
  const path = join(host.dataDir, 'vf', pciOf(0))
  // Nobody knows any more what the VF was like: it needs a person.
  const text = readFileSync(path, 'utf8')
  writeFileSync(path, text.replace('"vlan"', '"vlam"'))
  expect(host.refusal(host.pod(), host.vf(0))).toMatchObject({ code: 104, msg: expect.stringContaining(path) })
  writeFileSync(path, text)
  host.del(pod, host.vf(0))
  expect(ip('link', 'show', pf)).not.toContain('vlan 100')
})
