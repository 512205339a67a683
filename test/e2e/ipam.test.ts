import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { binaries, Host } from './host.ts'

const asIpam = { plugin: 'berth-ipam' }

/** A foreign main plugin's config: the IPAM gets the whole of it. */
const foreign = (ipam: object, more: object = {}): Record<string, unknown> => ({
  cniVersion: '1.0.0',
  name: 'foreign',
  type: 'bridge',
  ipam: { type: 'berth-ipam', range: '10.60.0.0/24', ...ipam },
  ...more,
})

test('berth-ipam answers addresses, routes and dns without interfaces when a foreign plugin calls it', () => {
  using host = new Host()
  const pod = host.pod()
  const config = foreign({ gateway: '10.60.0.1', routes: [{ dst: '0.0.0.0/0' }], dns: { nameservers: ['10.60.0.1'] } })
  expect(host.add(pod, config, asIpam)).toEqual({
    cniVersion: '1.0.0',
    ips: [{ address: '10.60.0.2/24', gateway: '10.60.0.1' }],
    routes: [{ dst: '0.0.0.0/0' }],
    dns: { nameservers: ['10.60.0.1'] },
  })
  expect(host.call('DEL', pod, config, asIpam)).toMatchObject({ exitCode: 0, stdout: '' })
})

test('a requested address replaces the dynamic one and is recorded when it comes by any of the three ways', () => {
  using host = new Host()
  const pod = host.pod()
  const ways = [
    [
      foreign({}, { runtimeConfig: { ips: ['10.60.0.77/24'] }, args: { cni: { ips: ['10.60.0.78'] } } }),
      { CNI_ARGS: 'IP=10.60.0.79' },
      '10.60.0.77',
    ],
    [foreign({}, { args: { cni: { ips: ['10.60.0.78'] } } }), { CNI_ARGS: 'IP=10.60.0.79' }, '10.60.0.78'],
    [
      foreign({}),
      { CNI_ARGS: 'IgnoreUnknown=true;K8S_POD_NAME=web-0;K8S_POD_NAMESPACE=shop;IP=10.60.0.79' },
      '10.60.0.79',
    ],
  ] as const
  for (const [config, environment, address] of ways) {
    const result = host.add(pod, config, { ...asIpam, environment })
    expect(result.ips).toEqual([{ address: `${address}/24` }])
    expect(host.leaseFiles()).toEqual([address, `foreign,${pod.containerId},net1`])
    host.call('DEL', pod, config, asIpam)
  }
})

test('a requested address of one family leaves the other dynamic when the network is dual stack', () => {
  using host = new Host()
  const pod = host.pod()
  const config = foreign(
    { range: '', ipRanges: [{ range: '10.61.0.0/24' }, { range: 'fd00:61::/64' }] },
    { runtimeConfig: { ips: ['fd00:61::99'] } },
  )
  expect(host.add(pod, config, asIpam).ips).toEqual([{ address: '10.61.0.1/24' }, { address: 'fd00:61::99/64' }])
  host.call('DEL', pod, config, asIpam)
})

test('the same attachment gets the same answer when ADD is called again', () => {
  using host = new Host()
  const pod = host.pod()
  const first = host.add(pod, foreign({}), asIpam)
  expect(host.add(pod, foreign({}), asIpam)).toEqual(first)
  const other = host.call('ADD', pod, foreign({}, { runtimeConfig: { ips: ['10.60.0.9'] } }), asIpam)
  expect(JSON.parse(other.stdout)).toMatchObject({ code: 103, msg: expect.stringContaining('attached already') })
  expect(host.leaseFiles()).toEqual(['10.60.0.1', `foreign,${pod.containerId},net1`])
  host.call('DEL', pod, foreign({}), asIpam)
})

test('two networks never get one address when their ranges overlap, unless network_name sets them apart', () => {
  using host = new Host()
  const pod = host.pod()
  const configs = [foreign({}), foreign({}, { name: 'second' }), foreign({ network_name: 'apart' }, { name: 'third' })]
  const addresses = configs.map((config) => host.add(pod, config, asIpam).ips?.[0]?.address)
  expect(addresses).toEqual(['10.60.0.1/24', '10.60.0.2/24', '10.60.0.1/24'])
  for (const config of configs) host.call('DEL', pod, config, asIpam)
})

test('DEL releases the lease when the config can no longer be read as it was', () => {
  using host = new Host()
  const pod = host.pod()
  host.add(pod, foreign({}), asIpam)
  expect(host.call('DEL', pod, foreign({ range: 'broken' }), asIpam)).toMatchObject({ exitCode: 0 })
})

test('berth leases list shows who holds what, as a table and as JSON', () => {
  using host = new Host()
  const pod = host.pod()
  const environment = { CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAME=web-0;K8S_POD_NAMESPACE=shop' }
  host.add(pod, foreign({}), { ...asIpam, environment })
  const berth = (...args: string[]): string =>
    spawnSync(join(binaries, 'berth'), [...args, '--data-dir', host.dataDir], { encoding: 'utf8' }).stdout
  expect(berth('leases', 'list')).toMatch(
    /^ADDRESS +NETWORK .*\n10\.60\.0\.1\/24 +foreign +ctr-0 +net1 +shop\/web-0 +20/,
  )
  expect(JSON.parse(berth('leases', 'list', '--json'))).toMatchObject({
    attachments: [{ network: 'foreign', leases: [{ address: '10.60.0.1/24', range: '10.60.0.0/24' }] }],
    damaged: [],
  })
  host.call('DEL', pod, foreign({}), asIpam)
  expect(berth('leases', 'list')).toBe('no leases\n')
})

test('berth says how it is used when the command line cannot be read', () => {
  const berth = spawnSync(join(binaries, 'berth'), ['frobnicate'], { encoding: 'utf8' })
  expect(berth).toMatchObject({ status: 2, stdout: '' })
  expect(berth.stderr).toContain('unknown command "frobnicate"')
})
