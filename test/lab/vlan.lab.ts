/** VLAN links as masters: made with the first attachment, used as they are found, refused in words that say why. */
import { existsSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { ip } from '../e2e/host.ts'
import { reaches } from '../e2e/reach.ts'
import { byKey, byName, far, silence, Tagged, throughAgent } from './tagged.ts'

describe.each([
  ['by its name', byName, false],
  ['by its number', byKey, true],
])('a VLAN master that is asked for %s', (_, keys, isAgent) => {
  if (isAgent) throughAgent()

  test('is made with the first attachment, carries tagged frames, and goes with the last one', () => {
    using host = new Tagged()
    const [one, other] = [host.pod(), host.pod()]
    host.link('set', host.nic, 'mtu', '1400')
    const config = host.config(keys)
    const prevResult = host.add(one, config)
    expect(host.vlan()).toMatchObject({ link: 'nic0', mtu: 1400, linkinfo: { info_data: { id: 20 } } })
    expect(JSON.parse(ip('-json', '-n', host.node, 'addr', 'show', 'nic0.20'))[0].addr_info).toEqual([])
    expect(prevResult.interfaces?.[0]?.mtu).toBe(1400)
    expect(reaches(one.name, far)).toBe(true)
    expect(host.call('CHECK', one, { ...config, prevResult })).toEqual(silence)
    host.link('set', 'nic0.20', 'down')
    expect(host.call('STATUS', other, config)).toEqual(silence)
    host.add(other, config)
    expect(host.call('DEL', one, config)).toEqual(silence)
    expect(reaches(other.name, far)).toBe(true)
    expect(host.call('DEL', other, config)).toEqual(silence)
    expect(host.hasLink()).toBe(false)
    expect(host.call('DEL', other, config)).toEqual(silence)
  })
})

test('another VLAN is another wire', () => {
  using host = new Tagged()
  const pod = host.pod()
  const config = host.config({ vlan: 30, createVlan: true })
  host.add(pod, config)
  expect(reaches(pod.name, far)).toBe(false)
  host.call('DEL', pod, config)
})

test('a link that somebody else made is used whatever its name, and stays', () => {
  using host = new Tagged()
  const pod = host.pod()
  host.link('add', 'lan', 'link', host.nic, 'type', 'vlan', 'id', '20')
  host.link('set', 'lan', 'up')
  for (const keys of [{ vlan: 20 }, byKey, byName, { master: 'lan' }, { master: 'lan', vlan: 20 }]) {
    const config = host.config(keys)
    host.add(pod, config)
    expect(reaches(pod.name, far)).toBe(true)
    host.call('DEL', pod, config)
    expect(host.hasLink('lan')).toBe(true)
    expect(host.hasLink()).toBe(false)
  }
  host.link('del', 'lan')
})

test('a network without createVlan that uses the link keeps it as long as it needs it', () => {
  using host = new Tagged()
  const [one, other] = [host.pod(), host.pod()]
  const plain = host.config({ name: 'net-b', master: 'nic0.20' })
  host.add(one, host.config(byKey))
  host.add(other, plain)
  host.call('DEL', one, host.config(byKey))
  expect(reaches(other.name, far)).toBe(true)
  expect(host.call('DEL', other, plain)).toEqual(silence)
  expect(host.hasLink()).toBe(false)
})

test('who asks on the wire of the VLAN for an address that the node has elsewhere hears nothing', () => {
  using host = new Tagged()
  const [pod, asker] = [host.pod(), host.pod()]
  ip('-n', host.node, 'addr', 'add', '192.0.2.5/24', 'dev', host.nic)
  host.link('set', 'far', 'netns', asker.name)
  ip('-n', asker.name, 'link', 'set', 'far', 'up')
  for (const address of ['192.0.2.9/24', `${far}/24`]) ip('-n', asker.name, 'addr', 'add', address, 'dev', 'far')
  host.add(pod, host.config(byKey))
  expect(reaches(asker.name, '10.20.0.10')).toBe(true)
  expect(reaches(asker.name, '192.0.2.5')).toBe(false)
  expect(ip('-n', asker.name, 'neigh', 'show', 'to', '192.0.2.5')).not.toContain('lladdr')
  ip('-n', asker.name, 'link', 'del', 'far')
  host.call('DEL', pod, host.config(byKey))
})

const takenBy: [string[], string][] = [
  [['link', 'nic0', 'type', 'vlan', 'id', '30'], 'VLAN 30 of "nic0"'],
  [['link', 'switch', 'type', 'vlan', 'id', '21'], 'VLAN 21 of "switch"'],
  [['type', 'dummy'], 'a dummy link'],
  [['link', 'nic0', 'type', 'vlan', 'proto', '802.1ad', 'id', '20'], 'a VLAN of another protocol'],
]

test('ADD names both when another link has the name', () => {
  using host = new Tagged()
  const pod = host.pod()
  for (const [making, named] of takenBy) {
    host.link('add', 'name', 'nic0.20', ...making)
    expect(host.error('ADD', pod, host.config(byName))).toMatchObject({
      code: 7,
      msg: expect.stringContaining(`Cannot use "nic0.20" as VLAN 20 of "nic0": it is ${named}`),
    })
    host.link('del', 'nic0.20')
  }
})

test('ADD with an MTU above that of the link that is to be made is refused, and no link is made', () => {
  using host = new Tagged()
  expect(host.error('ADD', host.pod(), host.config({ ...byKey, mtu: 1600 }))).toMatchObject({
    code: 7,
    msg: 'Cannot use mtu 1600: must be 0 to 1500, the MTU of master "nic0.20"',
  })
})

test('ADD and STATUS name the parent that is down', () => {
  using host = new Tagged()
  host.link('set', host.nic, 'down')
  const why = 'Cannot create "nic0.20" for VLAN 20 of "nic0": "nic0" is down'
  expect(host.error('ADD', host.pod(), host.config(byKey))).toMatchObject({ code: 7, msg: why })
  expect(host.error('STATUS', host.pod(), host.config(byKey))).toMatchObject({ code: 51, msg: why })
  host.link('set', host.nic, 'up')
  expect(host.call('STATUS', host.pod(), host.config(byKey))).toEqual(silence)
})

test('a parent with a long name has a link with a short one', () => {
  using host = new Tagged()
  const pod = host.pod()
  const parent = 'enp129s0f0np123'
  host.link('add', parent, 'type', 'dummy')
  host.link('set', parent, 'up')
  const [{ ifindex }] = JSON.parse(ip('-json', '-n', host.node, 'link', 'show', parent))
  const config = host.config({ master: parent, ...byKey })
  host.add(pod, config)
  expect(host.vlan(`berth${ifindex}.20`)).toMatchObject({ link: parent, linkinfo: { info_data: { id: 20 } } })
  expect(host.call('DEL', pod, config)).toEqual(silence)
  expect(host.error('ADD', pod, host.config({ master: `${parent}.20`, createVlan: true })).msg).toContain(
    'the name is longer than 15 bytes',
  )
  host.link('del', parent)
})

test('a link that the node makes use of stays, with a warning', () => {
  using host = new Tagged()
  const pod = host.pod()
  host.add(pod, host.config(byKey))
  ip('-n', host.node, 'addr', 'add', '192.0.2.1/24', 'dev', 'nic0.20')
  expect(host.call('DEL', pod, host.config(byKey)).stderr).toContain(
    '"nic0.20" has no attachment any more and stays: the node has an address on it',
  )
  host.link('del', 'nic0.20')
})

const netConfig = (vlan: number | undefined) => ({
  ipam: {
    type: 'berth-ipam',
    networks: [
      {
        name: 'net-a',
        mtu: 1400,
        subnets: [
          {
            name: 'subnet1',
            cidr: '10.20.0.0/24',
            vlan,
            allocationRanges: [{ start: '10.20.0.30', end: '10.20.0.40' }],
          },
        ],
      },
    ],
  },
})

test.each(['berth-macvlan', 'berth-ipvlan'])('%s attaches to the VLAN of a NetConfig', (plugin) => {
  using host = new Tagged()
  const pod = host.pod()
  const type = { type: plugin, ...netConfig(20) }
  expect(host.error('ADD', pod, host.config(type), plugin).msg).toContain('Cannot find VLAN 20 of master "nic0"')
  for (const more of [{}, { vlan: 20 }, { master: 'nic0.20' }]) {
    const config = host.config({ ...type, createVlan: true, ...more })
    expect(host.add(pod, config, { plugin }).interfaces?.[0]?.mtu).toBe(1400)
    expect(reaches(pod.name, far)).toBe(true)
    expect(host.call('DEL', pod, config, { plugin })).toEqual(silence)
    expect(host.hasLink()).toBe(false)
  }
  expect(host.error('ADD', pod, host.config({ ...type, vlan: 30, createVlan: true }), plugin).msg).toBe(
    'Cannot attach to vlan 30: "ipam.networks" says 20',
  )
})

test('hostAccess on a VLAN master gives the node its own link there, and takes both away', () => {
  using host = new Tagged()
  const pod = host.pod()
  ip('-n', host.node, 'addr', 'add', '192.0.2.5/24', 'dev', host.nic)
  ip('-n', host.node, 'route', 'add', 'default', 'via', '192.0.2.1')
  const config = host.config({ ...byKey, hostAccess: true })
  host.add(pod, config)
  expect(reaches(pod.name, '192.0.2.5')).toBe(true)
  expect(host.call('DEL', pod, config)).toEqual(silence)
  expect(host.hasLink()).toBe(false)
})

test('nothing is made in a data directory that is not there', () => {
  using host = new Tagged()
  expect(host.call('DEL', host.pod(), host.config(byKey))).toMatchObject({ exitCode: 0, stdout: '' })
  expect(existsSync(`${host.dataDir}/leases`)).toBe(false)
})
