/** The dialects through the packaged program: the configs that users of other IPAMs have, with only the type changed. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Host, ip } from './host.ts'

test('ADD takes a host-local config with only its type changed', () => {
  using host = new Host()
  const pod = host.pod()
  const resolvConf = join(host.dataDir, 'resolv.conf')
  writeFileSync(resolvConf, 'nameserver 10.30.0.53\nsearch example.org\n')
  const ipam = {
    type: 'berth-ipam',
    ranges: [
      [{ subnet: '10.30.0.0/29', rangeStart: '10.30.0.6' }, { subnet: '10.31.0.0/29' }],
      [{ subnet: 'fd00:30::/64' }],
    ],
    routes: [{ dst: '0.0.0.0/0' }],
    resolvConf,
  }
  const config = host.config({ ipam })
  const result = host.add(pod, config)
  expect(result.ips?.map(({ address, gateway }) => [address, gateway])).toEqual([
    ['10.30.0.6/29', '10.30.0.1'],
    ['fd00:30::2/64', 'fd00:30::1'],
  ])
  expect(result.dns).toEqual({ nameservers: ['10.30.0.53'], search: ['example.org'] })
  expect(ip('-n', pod.name, 'route', 'show', 'default')).toContain('via 10.30.0.1 dev net1')
  const second = host.pod()
  expect(host.add(second, config).ips?.[0]).toMatchObject({ address: '10.31.0.2/29', gateway: '10.31.0.1' })
  for (const one of [pod, second]) expect(host.call('DEL', one, config)).toMatchObject({ exitCode: 0 })
})

test('ADD takes static addresses, and refuses them to a second attachment', () => {
  using host = new Host()
  const [pod, second] = [host.pod(), host.pod()]
  const config = host.config({
    ipam: { type: 'berth-ipam', dialect: 'static', addresses: [{ address: '10.32.0.7/24' }] },
  })
  expect(host.add(pod, config).ips?.[0]?.address).toBe('10.32.0.7/24')
  const refused = JSON.parse(host.call('ADD', second, config).stdout)
  expect(refused).toMatchObject({ code: 101, msg: expect.stringContaining('"10.32.0.7": held by "ctr-0/net1"') })
  expect(host.call('DEL', pod, config)).toMatchObject({ exitCode: 0 })
})

test('ADD takes the networks of a NetConfig as they are, and the link has their MTU', () => {
  using host = new Host()
  ip('-n', host.node, 'link', 'set', host.nic, 'mtu', '1500')
  const pod = host.pod()
  const networks = [
    {
      name: 'InternalApi',
      mtu: 1400,
      subnets: [
        {
          name: 'subnet1',
          cidr: '172.17.0.0/24',
          gateway: '172.17.0.1',
          allocationRanges: [
            { start: '172.17.0.10', end: '172.17.0.11' },
            { start: '172.17.0.20', end: '172.17.0.250' },
          ],
          excludeAddresses: ['172.17.0.11'],
        },
      ],
    },
  ]
  const request = [{ name: 'internalapi', subnetName: 'SUBNET1', defaultRoute: true }]
  const config = host.config({ ipam: { type: 'berth-ipam', networks, request } })
  const result = host.add(pod, config)
  expect(result.ips?.[0]).toMatchObject({ address: '172.17.0.10/24', gateway: '172.17.0.1' })
  expect(result.interfaces?.[0]?.mtu).toBe(1400)
  expect(ip('-n', pod.name, 'link', 'show', 'net1')).toContain('mtu 1400')
  expect(ip('-n', pod.name, 'route', 'show', 'default')).toContain('via 172.17.0.1')
  const second = host.pod()
  expect(host.add(second, config).ips?.[0]?.address).toBe('172.17.0.20/24')
  const tagged = [{ ...networks[0], subnets: [{ ...networks[0]?.subnets[0], vlan: 20 }] }]
  const refused = host.call('ADD', host.pod(), host.config({ ipam: { type: 'berth-ipam', networks: tagged } }))
  expect(JSON.parse(refused.stdout)).toMatchObject({ code: 7, msg: expect.stringContaining('VLAN 20') })
  for (const one of [pod, second]) host.call('DEL', one, config)
})

test('ADD reads the node-wide defaults that configuration_path names', () => {
  using host = new Host()
  const pod = host.pod()
  const file = join(host.dataDir, 'whereabouts.conf')
  writeFileSync(file, JSON.stringify({ datastore: 'kubernetes', gateway: '10.33.0.1', range: '10.34.0.0/24' }))
  const config = host.config({ ipam: { type: 'berth-ipam', range: '10.33.0.0/24', configuration_path: file } })
  expect(host.add(pod, config).ips?.[0]).toMatchObject({ address: '10.33.0.2/24', gateway: '10.33.0.1' })
  host.call('DEL', pod, config)
})
