/** berth-ipvlan on a kernel that has it. */
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { type Answer, type Attached, Host, ip, type Pod } from '../e2e/host.ts'
import { reaches } from '../e2e/reach.ts'
import { throughAgent } from './tagged.ts'

const plugin = 'berth-ipvlan'
const dual = (third: number): object => ({
  type: 'berth-ipam',
  ipRanges: [
    { range: `10.${third}.0.0/24`, range_start: `10.${third}.0.10`, gateway: `10.${third}.0.1` },
    { range: `fd00:${third}::/64`, range_start: `fd00:${third}::10`, gateway: `fd00:${third}::1` },
  ],
  routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
})

const config = (host: Host, more: object = {}): Record<string, unknown> =>
  host.config({ type: plugin, ipam: dual(20), ...more })
const add = (host: Host, pod: Pod, keys: object): Attached => host.add(pod, keys, { plugin })
const call = (host: Host, verb: string, pod: Pod, keys: object): Answer => host.call(verb, pod, keys, { plugin })
const refusal = (answer: Answer): { code: number; msg: string; details?: string } => JSON.parse(answer.stdout)
const silence = { exitCode: 0, stdout: '', stderr: '' }
const macOf = (host: Host): string => JSON.parse(ip('-json', '-n', host.node, 'link', 'show', host.nic))[0].address
const addressesOf = ({ ips = [] }: Attached): string[] => ips.map(({ address }) => address.replace(/\/.*/, ''))

describe.each(['l2', 'l3', 'l3s'])('berth-ipvlan in mode %s', (mode) => {
  if (mode === 'l3') throughAgent()

  test('attaches pods that reach each other, CHECK finds all as it was, and DEL leaves nothing', () => {
    using host = new Host()
    const [one, other] = [host.pod(), host.pod()]
    const keys = config(host, { mode, mtu: 1400 })
    const [first, second] = [add(host, one, keys), add(host, other, keys)]
    expect(first.interfaces).toEqual([{ name: 'net1', mac: macOf(host), mtu: 1400, sandbox: one.netns }])
    expect(ip('-d', '-n', one.name, 'link', 'show', 'net1')).toContain(`ipvlan  mode ${mode}`)
    for (const address of addressesOf(second)) expect(reaches(one.name, address)).toBe(true)
    for (const address of addressesOf(first)) expect(reaches(other.name, address)).toBe(true)
    expect(call(host, 'CHECK', one, { ...keys, prevResult: first })).toEqual(silence)
    for (const pod of [one, other]) expect(call(host, 'DEL', pod, keys)).toEqual(silence)
    expect(call(host, 'DEL', one, keys)).toEqual(silence)
  })
})

test('two ipvlans in mode l2 have link-local addresses of their own, and ADD waits for duplicate detection when asked to', () => {
  using host = new Host()
  const [one, other] = [host.pod(), host.pod()]
  const keys = config(host, { dad: 'wait' })
  const made = [one, other].map((pod) => {
    add(host, pod, keys)
    return ip('-n', pod.name, '-6', 'addr', 'show', 'dev', 'net1', 'scope', 'link')
  })
  expect(made.join()).not.toContain('dadfailed')
  expect(new Set(made.map((text) => /fe80::\S+/.exec(text)?.[0])).size).toBe(2)
  for (const pod of [one, other]) call(host, 'DEL', pod, keys)
})

test.each(['l3', 'l3s'])(
  'pods in different subnets reach each other in mode %s, through their default routes',
  (mode) => {
    using host = new Host()
    const [one, other] = [host.pod(), host.pod()]
    const [here, there] = [config(host, { mode }), config(host, { mode, name: 'net-b', ipam: dual(30) })]
    add(host, one, here)
    for (const address of addressesOf(add(host, other, there))) expect(reaches(one.name, address)).toBe(true)
    call(host, 'DEL', one, here)
    call(host, 'DEL', other, there)
  },
)

test('the wire and a pod reach each other in mode l2, and a stale neighbour hears of the new owner', async () => {
  using host = new Host()
  const pod = host.pod()
  ip('-n', host.node, 'addr', 'add', '10.20.0.2/24', 'dev', 'switch')
  const show = (): string => ip('-n', host.node, 'neigh', 'show', 'to', '10.20.0.10')
  ip('-n', host.node, 'neigh', 'add', '10.20.0.10', 'lladdr', '02:00:00:00:00:99', 'dev', 'switch', 'nud', 'stale')
  add(host, pod, config(host))
  await pause(500)
  expect(show()).toContain(macOf(host))
  expect(reaches(pod.name, '10.20.0.2')).toBe(true)
  call(host, 'DEL', pod, config(host))
})

test.each(['l3', 'l3s'])('the wire and a pod reach each other in mode %s, by a route through the node', (mode) => {
  using host = new Host()
  const [pod, peer] = [host.pod(), host.pod()]
  ip('-n', host.node, 'addr', 'add', '192.0.2.5/24', 'dev', host.nic)
  ip('-n', host.node, 'link', 'set', 'switch', 'netns', peer.name)
  ip('-n', peer.name, 'link', 'set', 'switch', 'up')
  ip('-n', peer.name, 'addr', 'add', '192.0.2.9/24', 'dev', 'switch')
  ip('-n', peer.name, 'route', 'add', '10.20.0.0/24', 'via', '192.0.2.5')
  const keys = config(host, { mode })
  const [address = ''] = addressesOf(add(host, pod, keys))
  expect(reaches(pod.name, '192.0.2.9')).toBe(true)
  expect(reaches(peer.name, address)).toBe(true)
  call(host, 'DEL', pod, keys)
  ip('-n', peer.name, 'link', 'del', 'switch')
})

test('CHECK goes with the MAC of the master, and names a mode that somebody else has changed', () => {
  using host = new Host()
  const pod = host.pod()
  const prevResult = add(host, pod, config(host))
  ip('-n', host.node, 'link', 'set', host.nic, 'address', '02:00:00:00:00:77')
  expect(call(host, 'CHECK', pod, { ...config(host), prevResult })).toEqual(silence)
  ip('-n', pod.name, 'link', 'set', 'net1', 'type', 'ipvlan', 'mode', 'l3')
  expect(refusal(call(host, 'CHECK', pod, { ...config(host), prevResult }))).toMatchObject({
    code: 105,
    msg: 'Mode of "net1" is l3, and should be l2',
  })
  call(host, 'DEL', pod, config(host))
})

test('a master carries macvlans or ipvlans: the other kind is refused in words that say why', () => {
  using host = new Host()
  const [one, other] = [host.pod(), host.pod()]
  host.add(one, host.config())
  expect(refusal(call(host, 'ADD', other, config(host, { name: 'net-b' }))).msg).toMatch(
    /^Cannot create "net1" on master "nic0": it has macvlans, or is a port of a bridge or a bond, .*EBUSY/,
  )
  host.call('DEL', one, host.config())
  add(host, one, config(host, { name: 'net-b' }))
  expect(refusal(host.call('ADD', other, host.config())).msg).toMatch(
    /^Cannot create "net1" on master "nic0": it has ipvlans, .*EBUSY/,
  )
  call(host, 'DEL', one, config(host, { name: 'net-b' }))
})

test('ADD of an address that another ipvlan of the master has says so, and does not blame the MAC', () => {
  using host = new Host()
  const [one, other] = [host.pod(), host.pod()]
  // Two spaces: the ledger gives the same address twice.
  const ipam = (space: string): object => ({ type: 'berth-ipam', range: '10.20.0.0/24', network_name: space })
  const [here, there] = [config(host, { ipam: ipam('a') }), config(host, { name: 'net-b', ipam: ipam('b') })]
  add(host, one, here)
  const { msg } = refusal(call(host, 'ADD', other, there))
  expect(msg).toMatch(/^Cannot configure "net1": .*EADDRINUSE/)
  expect(msg).not.toContain('mac')
  call(host, 'DEL', one, here)
})

test('ADD again for a link on another master, or of another kind, is refused', () => {
  using host = new Host()
  const pod = host.pod()
  add(host, pod, config(host))
  const message =
    'Cannot create "net1": an earlier call claimed its addresses for a link of another kind, mode or master'
  ip('-n', host.node, 'link', 'add', 'other', 'type', 'dummy')
  for (const answer of [
    call(host, 'ADD', pod, config(host, { master: 'other' })),
    host.call('ADD', pod, host.config({ master: 'other', ipam: dual(20) })),
  ]) {
    expect(refusal(answer)).toMatchObject({ code: 103, msg: message })
  }
  ip('-n', host.node, 'link', 'del', 'other')
  expect(call(host, 'DEL', pod, config(host))).toEqual(silence)
})

test('the addresses of another IPAM are those of an ipvlan', () => {
  using host = new Host()
  const pod = host.pod()
  const ipam = { type: 'host-local', dataDir: join(host.dataDir, 'host-local'), subnet: '10.20.0.0/24' }
  const keys = config(host, { cniVersion: '1.0.0', ipam })
  const options = { plugin, environment: { CNI_PATH: '/usr/lib/cni' } }
  const prevResult = host.add(pod, keys, options)
  expect(addressesOf(prevResult)).toEqual(['10.20.0.2'])
  expect(host.call('CHECK', pod, { ...keys, prevResult }, options)).toEqual(silence)
  expect(host.call('DEL', pod, keys, options)).toEqual(silence)
})

test('ipam.conflictCheck is ignored with a warning', () => {
  using host = new Host()
  const pod = host.pod()
  const keys = config(host, { ipam: { type: 'berth-ipam', range: '10.20.0.0/24', conflictCheck: true } })
  expect(call(host, 'ADD', pod, keys)).toMatchObject({
    exitCode: 0,
    stderr: expect.stringContaining('"ipam.conflictCheck" is ignored'),
  })
  call(host, 'DEL', pod, keys)
})

describe.each([
  ['processes of their own', false],
  ['an agent', true],
])('through %s', (_, isAgent) => {
  if (isAgent) throughAgent()

  test('of two ADDs at once in different modes one is refused, and the other one has its mode', async () => {
    using host = new Host()
    const pods = ['l2', 'l3'].map((mode) => ({ pod: host.pod(), keys: config(host, { mode }) }))
    const codes = await Promise.all(
      pods.map(async ({ pod, keys }) => {
        const [code] = await once(host.start('ADD', pod, keys, { plugin }), 'exit')
        return code
      }),
    )
    expect(codes.toSorted()).toEqual([0, 1])
    const made = pods[codes.indexOf(0)]
    expect(ip('-d', '-n', made?.pod.name ?? '', 'link', 'show', 'net1')).toContain(`mode ${made?.keys.mode}`)
    for (const { pod, keys } of pods) expect(call(host, 'DEL', pod, keys)).toEqual(silence)
  })
})

describe('through an agent', () => {
  throughAgent()

  test('ADD in another mode than the master has is refused, and changes nothing for the pods that are there', () => {
    using host = new Host()
    const [one, other] = [host.pod('first'), host.pod()]
    const [flat, routed] = [config(host), config(host, { mode: 'l3', name: 'net-b', ipam: dual(30) })]
    const prevResult = add(host, one, flat)
    expect(refusal(call(host, 'ADD', other, routed))).toMatchObject({
      code: 103,
      msg: 'Cannot create "net1" in mode "l3": master "nic0" has ipvlans in mode "l2", and can have only one mode',
      details: '"first/net1" of network "net-a" is one of them',
    })
    expect(call(host, 'CHECK', one, { ...flat, prevResult })).toEqual(silence)
    expect(host.leaseFiles().filter((name) => name.startsWith('net-b'))).toEqual([])
    // Its DEL is late: nothing of it is there any more.
    ip('netns', 'del', one.name)
    add(host, other, routed)
    for (const [pod, keys] of [
      [one, flat],
      [other, routed],
    ] as const)
      expect(call(host, 'DEL', pod, keys)).toEqual(silence)
  })

  test('linkInContainer makes the link on a master of the pod, whose mode is nothing to other pods', () => {
    using host = new Host()
    const pods = ['l2', 'l3'].map((mode) => ({ pod: host.pod(), mode }))
    const keys = (mode: string): Record<string, unknown> =>
      config(host, { master: 'inner', linkInContainer: true, mode })
    for (const { pod, mode } of pods) {
      ip('-n', pod.name, 'link', 'add', 'inner', 'index', '7', 'type', 'dummy')
      ip('-n', pod.name, 'link', 'set', 'inner', 'up')
      const prevResult = add(host, pod, keys(mode))
      expect(call(host, 'CHECK', pod, { ...keys(mode), prevResult })).toEqual(silence)
      expect(refusal(host.call('ADD', pod, keys('l3s'), { plugin, ifName: 'net2' }))).toMatchObject({
        code: 103,
        msg: `Cannot create "net2" in mode "l3s": master "inner" has ipvlans in mode "${mode}", and can have only one mode`,
        details: '"net1" of the pod is one of them',
      })
    }
    for (const { pod, mode } of pods) {
      expect(call(host, 'DEL', pod, keys(mode))).toEqual(silence)
      ip('-n', pod.name, 'link', 'del', 'inner')
    }
  })
})
