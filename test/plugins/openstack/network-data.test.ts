import { describe, expect, it } from 'vitest'
import { portOfNetwork } from '../../../plugins/openstack/network-data.ts'
import { failureOf } from '../../shared/failures.ts'

const [tenant, storage, tagged, bonded, lost] = ['1', '2', '3', '4', '5'].map(
  (digit) => `${digit.repeat(8)}-aaaa-4bbb-8ccc-${digit.repeat(12)}`,
)

/** As Nova writes it: a port, one with two families, a VLAN on a bond's neighbour, a bond. */
const data = {
  links: [
    { id: 'tap1', vif_id: 'port1', type: 'ovs', mtu: 1450, ethernet_mac_address: 'FA:16:3E:00:00:01' },
    { id: 'tap2', vif_id: 'port2', type: 'hw_veb', mtu: null, ethernet_mac_address: 'fa:16:3e:00:00:02' },
    { id: 'vlan3', type: 'vlan', vlan_link: 'tap1', vlan_id: 30, vlan_mac_address: 'fa:16:3e:00:00:03' },
    { id: 'bond0', type: 'bond', bond_links: ['tap1', 'tap2'], ethernet_mac_address: 'fa:16:3e:00:00:04' },
  ],
  networks: [
    { id: 'network0', type: 'ipv4', link: 'tap1', network_id: tenant },
    { id: 'network1', type: 'ipv4', link: 'tap2', network_id: storage?.toUpperCase() },
    { id: 'network2', type: 'ipv6', link: 'tap2', network_id: storage },
    { id: 'network3', type: 'ipv4', link: 'vlan3', network_id: tagged },
    { id: 'network4', type: 'ipv4', link: 'bond0', network_id: bonded },
    { id: 'network5', type: 'ipv4', link: 'tap9', network_id: lost },
  ],
  services: [],
}
const portOf = (uuid: string | undefined, from: unknown = data) =>
  portOfNetwork(from, uuid ?? '', '/m/network_data.json')

describe('portOfNetwork()', () => {
  it.each([
    ['a port', tenant, { mac: 'fa:16:3e:00:00:01', vlan: 0 }],
    ['one port with two families', storage, { mac: 'fa:16:3e:00:00:02', vlan: 0 }],
    ['a VLAN of a port', tagged, { mac: 'fa:16:3e:00:00:01', vlan: 30, vlanMac: 'fa:16:3e:00:00:03' }],
  ])('finds %s', (_, uuid, port) => {
    expect(portOf(uuid)).toEqual(port)
  })

  const two = [...data.networks, { id: 'network6', link: 'tap2', network_id: tenant }]

  it.each<[string, string | undefined, unknown, string]>([
    ['no such network', 'none', data, '"/m/network_data.json" has no such network, its networks are "1111'],
    ['no network at all', tenant, { links: [], networks: [] }, 'has no such network, its networks are none'],
    ['two ports in it', tenant, { ...data, networks: two }, 'has more than one port in it: links "tap1", "tap2"'],
    ['a bond', bonded, data, 'its link "bond0" is a bond in "/m/network_data.json": name the bond\'s own link'],
    ['a link that is not there', lost, data, '"/m/network_data.json" has no link "tap9"'],
    [
      'a VLAN with a MAC that is none',
      tagged,
      {
        ...data,
        links: data.links.map((link) => ({ ...link, ...('vlan_link' in link ? { vlan_mac_address: 'fa:16' } : {}) })),
      },
      'the vlan_mac_address of link "vlan3" is "fa:16" in',
    ],
    [
      'a link without a MAC',
      tenant,
      { links: [{ id: 'tap1' }], networks: [{ id: 'n', link: 'tap1', network_id: tenant }] },
      'link "tap1" has no MAC in',
    ],
  ])('refuses %s, and names the network', (_, uuid, from, why) => {
    const failure = failureOf(() => portOf(uuid, from))
    expect(failure.errorName).toBe('ERR_CONFIG')
    expect(failure.message).toContain(`Cannot find OpenStack network "${uuid}": `)
    expect(failure.message).toContain(why)
  })

  it.each<[unknown, string]>([
    [{}, 'Cannot read "/m/network_data.json.links": nothing: '],
    [[], 'Cannot read "/m/network_data.json": []: must be'],
    [{ links: [{ type: 'ovs' }], networks: [] }, 'Cannot read "/m/network_data.json.links.0.id": nothing: '],
  ])('refuses %j, which is no network data', (from, message) => {
    expect(failureOf(() => portOf(tenant, from)).message.slice(0, 40)).toBe(message.slice(0, 40))
  })
})
