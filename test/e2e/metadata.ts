/** The metadata of an OpenStack instance, as Nova writes it, for tests. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Host, ip } from './host.ts'

export const networks = {
  tenant: '0b1e7f5a-1111-4222-8333-444455556666',
  tagged: '1c2f8a6b-1111-4222-8333-444455556666',
  away: '2d3a9b7c-1111-4222-8333-444455556666',
}

export const macOf = (host: Host, link = host.nic): string =>
  JSON.parse(ip('-json', '-n', host.node, 'link', 'show', link))[0].address

/** What the host's NIC is in: a network, VLAN 20 of it another one; a third one is that of a port without a link here. */
export const networkDataOf = (host: Host): object => ({
  links: [
    { id: 'tap1', vif_id: 'port1', type: 'ovs', mtu: 1450, ethernet_mac_address: macOf(host).toUpperCase() },
    { id: 'tap2', vif_id: 'port2', type: 'ovs', mtu: 1450, ethernet_mac_address: 'fa:16:3e:00:00:02' },
    { id: 'vlan3', type: 'vlan', vlan_link: 'tap1', vlan_id: 20, vlan_mac_address: 'fa:16:3e:00:00:03' },
  ],
  networks: [
    { id: 'network0', type: 'ipv4', link: 'tap1', network_id: networks.tenant },
    { id: 'network1', type: 'ipv6', link: 'tap1', network_id: networks.tenant },
    { id: 'network2', type: 'ipv4', link: 'tap2', network_id: networks.away },
    { id: 'network3', type: 'ipv4', link: 'vlan3', network_id: networks.tagged },
  ],
  services: [],
})

/** Writes network_data.json below `folder`, with the folders that lead to it. */
export function writeNetworkData(folder: string, below: string, data: unknown): void {
  mkdirSync(join(folder, below), { recursive: true })
  writeFileSync(join(folder, below, 'network_data.json'), typeof data === 'string' ? data : JSON.stringify(data))
}
