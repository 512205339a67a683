/** The packaged plugins under the newest real CNI client: cnitool of libcni 1.3, which speaks 1.1.0. */
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { Host, ip, type Pod } from './host.ts'
import { buildCnitool } from './libcni/build.ts'
import { Cnitool, exampleNetwork, silence } from './libcni/client.ts'

const programs = buildCnitool()
const missing = 'missing' in programs ? programs.missing : undefined
if (missing !== undefined) process.stderr.write(`SKIPPED: the tests of cnitool 1.3: ${missing}\n`)

/** The client on the example's network, `more` replacing keys of its plugin. */
function cnitool(host: Host, more: object = {}): Cnitool {
  if ('missing' in programs) throw new Error(programs.missing)
  return new Cnitool(programs, host, exampleNetwork(host, more, '1.1.0'))
}

/** cnitool makes the container ID of the namespace's path. */
const containerIdOf = ({ netns }: Pod): string =>
  `cnitool-${createHash('sha512').update(netns).digest('hex').slice(0, 20)}`
const held = (host: Host): string[] => host.leaseFiles().filter((file) => /^[\d.]+$/.test(file))

/** Two pods of the client, the namespace of the second deleted under it. */
function oneAliveOneGone(host: Host, client: Cnitool): [Pod, Pod] {
  const pods: [Pod, Pod] = [host.pod(), host.pod()]
  for (const pod of pods) client.add(pod)
  ip('netns', 'del', pods[1].name)
  expect(held(host)).toEqual(['172.17.0.30', '172.17.0.31'])
  return pods
}

const title = missing === undefined ? 'cnitool 1.3' : `cnitool 1.3 (SKIPPED: ${missing})`

describe.skipIf(missing !== undefined)(title, () => {
  test('cnitool add, check and del succeed when the conflist speaks 1.1.0', () => {
    using host = new Host()
    using client = cnitool(host)
    const pods = [host.pod(), host.pod()] as const
    const mac = expect.stringMatching(/^([\da-f]{2}:){5}[\da-f]{2}$/)
    expect(client.add(pods[0])).toEqual({
      cniVersion: '1.1.0',
      interfaces: [{ name: 'net1', mac, mtu: 1500, sandbox: pods[0].netns }],
      ips: [{ interface: 0, address: '172.17.0.30/24' }],
    })
    expect(client.add(pods[1]).ips?.[0]?.address).toBe('172.17.0.31/24')
    expect(ip('netns', 'exec', pods[0].name, 'ping', '-c', '1', '-W', '2', '172.17.0.31')).toContain('1 received')
    for (const pod of pods) expect(client.call('check', pod)).toEqual(silence)
    for (const pod of [...pods, ...pods]) expect(client.call('del', pod)).toEqual(silence)
    expect(client.remembered()).toEqual([])
  })

  test('cnitool check names the difference when the MAC of the link was changed', () => {
    using host = new Host()
    using client = cnitool(host)
    const pod = host.pod()
    client.add(pod)
    ip('-n', pod.name, 'link', 'set', 'net1', 'address', '02:00:00:00:00:99')
    const difference = expect.stringContaining('MAC of "net1" is 02:00:00:00:00:99, and should be')
    expect(client.call('check', pod)).toEqual({ exitCode: 1, stdout: '', stderr: difference })
    expect(client.call('del', pod)).toEqual(silence)
  })

  test('cnitool add gives the address and the MAC asked for when they come as capability arguments', () => {
    using host = new Host()
    using client = cnitool(host, { capabilities: { ips: true, mac: true } })
    const pods = [host.pod(), host.pod()] as const
    const capabilities = { ips: ['172.17.0.66/24'], mac: '02:00:00:00:00:66' }
    expect(client.add(pods[0], { capabilities })).toMatchObject({
      interfaces: [{ mac: '02:00:00:00:00:66' }],
      ips: [{ address: '172.17.0.66/24' }],
    })
    expect(client.add(pods[1], { args: [['IP', '172.17.0.67']] }).ips?.[0]?.address).toBe('172.17.0.67/24')
    for (const pod of pods) expect(client.call('del', pod)).toEqual(silence)
  })

  test('cnitool status succeeds when the master is there and fails with its name when it is not', () => {
    using host = new Host()
    using client = cnitool(host)
    const pod = host.pod()
    expect(client.call('status', pod)).toEqual(silence)
    using without = cnitool(host, { master: 'none0' })
    const answer = without.call('status', pod)
    expect(answer).toMatchObject({ exitCode: 1, stdout: '', stderr: expect.stringContaining('"none0"') })
  })

  test('cnitool gc detaches what it remembers when it has no list of what is valid', () => {
    using host = new Host()
    using client = cnitool(host)
    const [alive] = oneAliveOneGone(host, client)
    expect(client.call('gc', alive)).toEqual(silence)
    expect(host.linksOf(alive.name)).toEqual([])
    expect(held(host)).toEqual([])
  })

  test('libcni gc keeps the attachment that is listed and removes the other when its namespace is gone', () => {
    using host = new Host()
    using client = cnitool(host)
    const [alive] = oneAliveOneGone(host, client)
    expect(client.collect([{ containerID: containerIdOf(alive), ifname: 'net1' }])).toEqual(silence)
    expect(held(host)).toEqual(['172.17.0.30'])
    expect(client.call('check', alive)).toEqual(silence)
    expect(client.call('del', alive)).toEqual(silence)
  })

  test('libcni gc keeps the living and removes the gone when the list is empty and another client attached them', () => {
    using host = new Host()
    using client = cnitool(host)
    const [alive] = oneAliveOneGone(host, client)
    // Its own empty cache makes this client know nothing of the attachments: the plugin has to decide.
    using stranger = cnitool(host)
    const answer = stranger.collect([])
    expect(answer).toMatchObject({ exitCode: 0, stdout: '' })
    const said = answer.stderr + host.agentLog()
    expect(said).toMatch(/^[^\n]*GC keeps [^\n]*its network namespace is alive[^\n]*\n$/)
    expect(said).toContain(containerIdOf(alive))
    expect(held(host)).toEqual(['172.17.0.30'])
    expect(client.call('check', alive)).toEqual(silence)
    expect(client.call('del', alive)).toEqual(silence)
  })

  test('libcni gc keeps an attachment that is listed when its namespace is gone', () => {
    using host = new Host()
    using client = cnitool(host)
    const [alive, gone] = oneAliveOneGone(host, client)
    using stranger = cnitool(host)
    const valid = [alive, gone].map((pod) => ({ containerID: containerIdOf(pod), ifname: 'net1' }))
    expect(stranger.collect(valid)).toEqual(silence)
    expect(held(host)).toEqual(['172.17.0.30', '172.17.0.31'])
    for (const pod of [alive, gone]) expect(client.call('del', pod)).toEqual(silence)
  })
})
