/** Masters named by their OpenStack network, with the metadata in a folder. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Host, ip, type Pod } from './host.ts'
import { macOf, networkDataOf, networks, writeNetworkData } from './metadata.ts'

const name = (uuid: string): string => `openstack:${uuid}`
const folderOf = (host: Host): string => join(host.dataDir, 'metadata')
const config = (host: Host, more: object = {}): Record<string, unknown> =>
  host.config({ master: name(networks.tenant), openstackMetadata: folderOf(host), ...more })
const message = (host: Host, pod: Pod, more: object = {}): string => {
  const answer = host.call('ADD', pod, config(host, more))
  expect(answer.exitCode).toBe(1)
  return JSON.parse(answer.stdout).msg
}

test.each([
  ['the folder itself', '.'],
  ['the latest version', 'openstack/latest'],
  ['a version', 'openstack/2018-08-27'],
])('ADD finds the master by its network in %s, CHECK finds it again, DEL removes the link', (_, below) => {
  using host = new Host()
  const pod = host.pod()
  writeNetworkData(folderOf(host), below, networkDataOf(host))
  const keys = config(host, { master: name(networks.tenant.toUpperCase()) })
  const prevResult = host.add(pod, keys)
  const [link] = JSON.parse(ip('-json', '-n', pod.name, 'link', 'show', 'net1'))
  const [nic] = JSON.parse(ip('-json', '-n', host.node, 'link', 'show', host.nic))
  expect(link.link_index).toBe(nic.ifindex)
  expect(host.call('CHECK', pod, { ...keys, prevResult })).toEqual({ exitCode: 0, stdout: '', stderr: '' })
  expect(host.call('STATUS', pod, keys)).toEqual({ exitCode: 0, stdout: '', stderr: '' })
  host.call('DEL', pod, keys)
})

test('the newest version counts where there are several', () => {
  using host = new Host()
  const pod = host.pod()
  writeNetworkData(folderOf(host), 'openstack/2015-10-15', { links: [], networks: [] })
  writeNetworkData(folderOf(host), 'openstack/2018-08-27', networkDataOf(host))
  host.add(pod, config(host))
  host.call('DEL', pod, config(host))
})

test('ADD names the network, and what is wrong with it', () => {
  using host = new Host()
  const pod = host.pod()
  const folder = folderOf(host)
  const cannot = (uuid: string, why: string): string => `Cannot find OpenStack network "${uuid}": ${why}`
  expect(message(host, pod)).toBe(cannot(networks.tenant, `no network_data.json is in "${folder}" (openstackMetadata)`))
  mkdirSync(folder)
  expect(message(host, pod)).toContain('no network_data.json is in')
  writeNetworkData(folder, 'openstack/latest', '{"links": [')
  expect(message(host, pod)).toContain(`Cannot read "${folder}/openstack/latest/network_data.json": `)
  writeNetworkData(folder, 'openstack/latest', networkDataOf(host))
  const unknown = '99999999-1111-4222-8333-444455556666'
  expect(message(host, pod, { master: name(unknown) })).toContain(
    cannot(unknown, `"${folder}/openstack/latest/network_data.json" has no such network`),
  )
  expect(message(host, pod, { master: name(networks.away) })).toBe(
    cannot(networks.away, 'no link has its MAC fa:16:3e:00:00:02'),
  )
  expect(message(host, pod, { master: 'openstack:private' })).toBe(
    'Cannot read "openstack:private": write "openstack:" and the UUID of a Neutron network',
  )
  expect(message(host, pod, { master: name(networks.tagged) })).toContain('Cannot find VLAN 20 of master "nic0"')
  expect(message(host, pod, { createVlan: true })).toContain('is in no VLAN of "nic0"')
  expect(message(host, pod, { master: name(networks.tagged), vlan: 30 })).toContain('is in VLAN 20 of "nic0"')
  // Where the tests run in a container that may not open the disks, the drive could be any of them.
  expect(message(host, pod, { openstackMetadata: undefined })).toMatch(
    /^Cannot find OpenStack network "0b1e7f5a-.*": no disk is labelled "config-2", .*169\.254\.169\.254 is not asked$|^Cannot look for the config drive on "\/dev\/[^"]+": E(PERM|ACCES)/,
  )
})

test('links that have the MAC from another are not taken for the port, and two that have it themselves are named', () => {
  using host = new Host()
  const pod = host.pod()
  writeNetworkData(folderOf(host), '.', networkDataOf(host))
  ip('-n', host.node, 'link', 'add', 'bridge', 'address', macOf(host), 'type', 'bridge')
  host.add(pod, config(host))
  host.call('DEL', pod, config(host))
  ip('-n', host.node, 'link', 'del', 'bridge')
  ip('-n', host.node, 'link', 'set', 'switch', 'address', macOf(host))
  expect(message(host, pod)).toMatch(/links "(nic0|switch)" and "(nic0|switch)" have its MAC/)
})
