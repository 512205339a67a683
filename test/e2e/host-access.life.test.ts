/** The life of a host link: made by the first, removed with the last, whatever order, failure or neglect is between. */
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Answer, type Attached, type Host, ip, type Pod } from './host.ts'
import { accessKeys, addressesOf, far, hostLinks, hostWith, near, reaches } from './reach.ts'

const errorOf = ({ stdout }: Answer): { code: number; msg: string } => JSON.parse(stdout)

const ended = (child: ChildProcess): Promise<number | null> => new Promise((resolve) => child.on('exit', resolve))

test('the host link is there while anybody needs it when pods come and go together', async () => {
  using host = hostWith(near)
  const config = host.config(accessKeys)
  const pods = Array.from({ length: 8 }, () => host.pod())
  const attached = new Set<Pod>()
  for (let round = 0; round < 7; round++) {
    // One half leaves while the other one comes: the last DEL beside the first ADD.
    const calls = pods.flatMap((pod, index) => {
      const wanted = round < 6 && index % 2 === round % 2
      if (wanted === attached.has(pod)) return []
      wanted ? attached.add(pod) : attached.delete(pod)
      return [ended(host.start(wanted ? 'ADD' : 'DEL', pod, config))]
    })
    expect(await Promise.all(calls)).toEqual(calls.map(() => 0))
    expect(hostLinks(host)).toHaveLength(attached.size > 0 ? 1 : 0)
    expect(host.ownRoutes()).toHaveLength(2 * attached.size)
    for (const pod of attached) for (const one of near) expect(reaches(pod.name, one)).toBe(true)
  }
  expect(host.leftovers()).toEqual([])
})

test.each<[string, object, (host: Host, pod: Pod) => void]>([
  ['the namespace of the pod is gone', {}, (_, pod) => ip('netns', 'del', pod.name)],
  ['the config does not ask for it any more', { hostAccess: false }, () => undefined],
  ['its routes are gone', {}, (host) => ip('-n', host.node, 'route', 'flush', 'proto', '201')],
  ['the host link is gone', {}, (host) => ip('-n', host.node, 'link', 'del', hostLinks(host)[0] ?? '')],
])('DEL removes the part of its attachment when %s', (_, keys, change) => {
  using host = hostWith(near)
  const config = host.config(accessKeys)
  const pod = host.pod()
  host.add(pod, config)
  change(host, pod)
  for (const _again of [1, 2]) expect(host.call('DEL', pod, { ...config, ...keys })).toMatchObject({ exitCode: 0 })
  expect(host.leftovers()).toEqual([])
})

test.each([[{}], [{ mac: 'fromIP' }]])(
  'DEL removes the part of its attachment when a foreign IPAM gave the address: %j',
  (keys) => {
    using host = hostWith(near)
    const foreign = mkdtempSync(join(tmpdir(), 'berth-foreign-'))
    const ipam = { type: 'host-local', subnet: '10.20.0.0/24', rangeStart: '10.20.0.10', dataDir: foreign }
    const config = host.config({ cniVersion: '1.0.0', hostAccess: true, ipam, ...keys })
    const options = { environment: { CNI_PATH: '/usr/lib/cni' } }
    const pods = [host.pod(), host.pod()]
    const results = pods.map((pod) => host.add(pod, config, options))
    for (const [index, pod] of pods.entries()) {
      expect(reaches(host.node, addressesOf(results[index] as Attached)[0] ?? '')).toBe(true)
      // A runtime before CNI 0.4.0 does not say what ADD answered.
      const prevResult = 'mac' in keys ? results[index] : undefined
      expect(host.call('DEL', pod, { ...config, prevResult }, options)).toMatchObject({ exitCode: 0 })
      expect(host.ownRoutes()).toHaveLength(1 - index)
    }
    rmSync(foreign, { recursive: true })
  },
)

test.each<[string, (host: Host, lost: Pod, other: Pod, config: object) => void]>([
  ['DEL of another pod', (host, _, other, config) => host.call('DEL', other, config)],
  [
    'GC',
    (host, _, other, config) => {
      const valid = [{ containerID: other.containerId, ifname: 'net1' }]
      expect(host.call('GC', other, { ...config, 'cni.dev/valid-attachments': valid })).toMatchObject({ exitCode: 0 })
      expect(host.ownRoutes()).toHaveLength(2)
      host.call('DEL', other, config)
    },
  ],
])('what an attachment left that was released by hand goes with the next %s', (_, next) => {
  using host = hostWith(near)
  const config = host.config(accessKeys)
  const [lost, other] = [host.pod(), host.pod()]
  for (const pod of [lost, other]) host.add(pod, config)
  ip('netns', 'del', lost.name)
  for (const name of host.leaseFiles().filter((file) => file.includes(lost.containerId) || /10$/.test(file))) {
    rmSync(join(host.dataDir, 'leases', name))
  }
  next(host, lost, other, config)
  expect(host.leftovers()).toEqual([])
})

test('an address leads to the pod that has it now when the one before never got a DEL', () => {
  using host = hostWith(near)
  const config = host.config(accessKeys)
  const [lost, next] = [host.pod(), host.pod()]
  const { ips } = host.add(lost, config)
  ip('netns', 'del', lost.name)
  rmSync(join(host.dataDir), { recursive: true })
  const result = host.add(next, config)
  expect(result.ips).toEqual(ips)
  for (const one of addressesOf(result)) expect(reaches(host.node, one)).toBe(true)
  // A late DEL of the earlier one is not about what the address is now.
  const late = { ...config, prevResult: { ...result, interfaces: [{ name: 'net1', mac: '02:00:00:00:00:99' }] } }
  expect(host.call('DEL', lost, late)).toMatchObject({ exitCode: 0 })
  for (const one of addressesOf(result)) expect(reaches(host.node, one)).toBe(true)
  host.call('DEL', next, config)
})

test.each<[string, object, string]>([
  ['private', { mode: 'private' }, 'in mode "private"'],
  ['vepa', { mode: 'vepa' }, 'in mode "vepa"'],
  ['passthru', { mode: 'passthru' }, 'in mode "passthru"'],
  ['the master in the pod', { linkInContainer: true }, 'with linkInContainer'],
  ['no ipam', { ipam: undefined }, 'without ipam'],
])('ADD refuses hostAccess with %s, and leaves nothing', (_, keys, why) => {
  using host = hostWith(near)
  const answer = host.call('ADD', host.pod(), host.config({ ...accessKeys, ...keys }))
  expect(errorOf(answer)).toMatchObject({ code: 7, msg: expect.stringMatching(`^Cannot use hostAccess: ${why}`) })
})

test('ADD fails and leaves nothing when the node has no address', () => {
  using host = hostWith(near)
  ip('-n', host.node, 'addr', 'flush', 'dev', host.nic)
  const answer = host.call('ADD', host.pod(), host.config(accessKeys))
  expect(errorOf(answer)).toMatchObject({ code: 7, msg: expect.stringContaining('with master "nic0"') })
})

test('an ADD that fails while it is configured takes its host access back, and that of others stays', () => {
  using host = hostWith(far)
  const config = host.config(accessKeys)
  const broken = {
    ...config,
    ipam: { ...accessKeys.ipam, routes: [{ dst: '10.77.0.0/16', gw: '10.20.0.1', scope: 254 }] },
  }
  const [first, second] = [host.pod(), host.pod()]
  expect(host.call('ADD', first, broken)).toMatchObject({ exitCode: 1 })
  expect(host.leftovers()).toEqual([])
  const result = host.add(first, config)
  expect(host.call('ADD', second, broken)).toMatchObject({ exitCode: 1 })
  expect(host.ownRoutes()).toHaveLength(2)
  for (const one of addressesOf(result)) expect(reaches(host.node, one)).toBe(true)
  host.call('DEL', first, config)
})

test('ADD fails, names the link and leaves it when the node has another one of its name', () => {
  using host = hostWith(near)
  const pod = host.pod()
  const config = host.config(accessKeys)
  host.add(pod, config)
  const [name = ''] = hostLinks(host)
  host.call('DEL', pod, config)
  ip('-n', host.node, 'link', 'add', name, 'type', 'veth', 'peer', 'name', 'its-peer')
  expect(errorOf(host.call('ADD', pod, config))).toMatchObject({
    msg: expect.stringContaining(`Cannot create "${name}" for hostAccess`),
  })
  expect(host.call('DEL', pod, config)).toMatchObject({ exitCode: 0 })
  expect(hostLinks(host)).toEqual([name])
  ip('-n', host.node, 'link', 'del', name)
})

const neighbour = (where: string, dev: string, one: string): string => ip('-n', where, 'neigh', 'del', one, 'dev', dev)

test.each<[string, (host: Host, pod: Pod, link: string) => void, RegExp]>([
  [
    'the host link is gone',
    (host, _, link) => ip('-n', host.node, 'link', 'del', link),
    /^Link "berth\d+" of the node is absent/,
  ],
  [
    'the host link is down',
    (host, _, link) => ip('-n', host.node, 'link', 'set', link, 'down'),
    /^State of the node's "berth\d+" is down/,
  ],
  [
    'the mode is another',
    (host, _, link) => ip('-n', host.node, 'link', 'set', link, 'type', 'macvlan', 'mode', 'private'),
    /^Mode of the node's "berth\d+" is private/,
  ],
  [
    'a host route is gone',
    (host) => ip('-n', host.node, 'route', 'del', '10.20.0.10'),
    /^Route to "10.20.0.10" through "berth\d+" is absent/,
  ],
  [
    'a neighbour of the node is gone',
    (host, _, link) => neighbour(host.node, link, 'fd00:20::10'),
    /^Neighbour "fd00:20::10" of "berth\d+" is absent/,
  ],
  [
    'a neighbour of the pod is gone',
    (_, pod) => neighbour(pod.name, 'net1', '192.0.2.5'),
    /^Neighbour "192.0.2.5" of "net1" is absent/,
  ],
  [
    'a rule of the pod is gone',
    (_, pod) => ip('-n', pod.name, 'rule', 'del', 'from', '10.20.0.10'),
    /^Rule from "10.20.0.10" is absent/,
  ],
])('CHECK names what differs when %s', (_, change, message) => {
  using host = hostWith(far)
  const pod = host.pod()
  const config = host.config(accessKeys)
  const prevResult = host.add(pod, config)
  change(host, pod, hostLinks(host)[0] ?? '')
  expect(errorOf(host.call('CHECK', pod, { ...config, prevResult }))).toMatchObject({
    code: 105,
    msg: expect.stringMatching(message),
  })
  host.call('DEL', pod, config)
  expect(host.leftovers()).toEqual([])
})

test.each([[{}], [{ mac: 'fromIP' }]])(
  'the address that leads to the pod is the one that no stranger has: %j',
  (keys) => {
    using host = hostWith(near)
    ip('-n', host.node, 'addr', 'add', '10.20.0.10/32', 'dev', 'switch')
    const ipam = { ...accessKeys.ipam, ipRanges: accessKeys.ipam.ipRanges.slice(0, 1), conflictCheck: true }
    const config = host.config({ hostAccess: true, ipam, ...keys })
    const pod = host.pod()
    const result = host.add(pod, config)
    expect(addressesOf(result)).toEqual(['10.20.0.11'])
    expect(reaches(host.node, '10.20.0.11')).toBe(true)
    expect(host.call('DEL', pod, config)).toMatchObject({ exitCode: 0 })
    expect([...hostLinks(host), ...host.ownRoutes()]).toEqual([])
    // What the stranger has stays out of use for a while.
    rmSync(join(host.dataDir, 'leases'), { recursive: true })
  },
)
