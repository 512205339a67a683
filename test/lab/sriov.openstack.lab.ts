/** VFs of OpenStack ports as a guest has them: NICs without a PF, named by their network. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ip } from '../e2e/host.ts'
import { writeNetworkData } from '../e2e/metadata.ts'
import { otherNic } from './guest.ts'
import { podLink, SriovHost } from './sriov.ts'

const network = '0b1e7f5a-1111-4222-8333-444455556666'
const nicAddress = '0000:02:00.0'

/** A folder that says the NIC is the instance's port in the network, or its VLAN. */
function metadataOf(host: SriovHost, more: object = {}): string {
  const [{ address }] = JSON.parse(ip('-json', 'link', 'show', otherNic))
  const folder = join(host.dataDir, 'metadata')
  const links = [
    { id: 'tap1', type: 'hw_veb', ethernet_mac_address: address },
    { id: 'tap2', type: 'vlan', ...more },
  ]
  const link = 'vlan_link' in more ? 'tap2' : 'tap1'
  writeNetworkData(folder, 'openstack/latest', { links, networks: [{ id: 'network0', link, network_id: network }] })
  return folder
}

test('a NIC named by its OpenStack network is attached by its MAC, and found by who holds it once it has another one', () => {
  using host = new SriovHost(otherNic)
  const [first, second] = [host.pod(), host.pod()]
  const keys = { deviceID: undefined, pf: `openstack:${network}`, openstackMetadata: metadataOf(host) }
  const config = host.vf(0, { ...keys, mac: '02:00:00:00:30:09' })
  const result = host.add(first, config)
  expect(result.interfaces?.[0]).toMatchObject({ mac: '02:00:00:00:30:09', pciID: nicAddress })
  expect(podLink(first)).toMatchObject({ address: '02:00:00:00:30:09' })
  expect(host.refusal(second, config)).toMatchObject({ msg: expect.stringContaining('none of its VFs is free') })
  expect(host.call('CHECK', first, { ...config, prevResult: result })).toMatchObject({ exitCode: 0 })
  host.del(first, config)
  host.add(second, config)
  host.del(second, config)
})

test('a network that is not here, or in a VLAN, is refused by its name', () => {
  using host = new SriovHost(otherNic)
  const pod = host.pod()
  const openstackMetadata = metadataOf(host, { vlan_link: 'tap1', vlan_id: 7 })
  const config = (pf: string) => host.vf(0, { deviceID: undefined, pf, openstackMetadata })
  expect(host.refusal(pod, config(`openstack:${network}`)).msg).toBe(
    `Cannot attach to pf "openstack:${network}": its port is VLAN 7 of a link, and a VF of that link is in none`,
  )
  expect(host.refusal(pod, config('openstack:x')).msg).toContain('the UUID of a Neutron network')
  const other = network.replace('0b1e', 'ffff')
  expect(host.refusal(pod, config(`openstack:${other}`)).msg).toContain(`Cannot find OpenStack network "${other}"`)
})
