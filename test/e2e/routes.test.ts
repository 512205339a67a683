/** Sysctls and routes of an attachment, read back from the kernel. */
import { expect, test } from 'vitest'
import { Host, ip, type Pod } from './host.ts'

const sysctl = (pod: Pod, name: string): string => ip('netns', 'exec', pod.name, 'cat', `/proc/sys/net/${name}`).trim()

test('ADD sets the sysctls that must hold before the link is up when the network has IPv6 addresses', () => {
  using host = new Host()
  const pod = host.pod()
  // As runtimes do for pods of IPv4 clusters.
  for (const name of ['all', 'default'])
    ip('netns', 'exec', pod.name, 'sh', '-c', `echo 1 > /proc/sys/net/ipv6/conf/${name}/disable_ipv6`)
  const config = host.config({ ipam: { type: 'berth-ipam', range: 'fd00:30::/64' } })
  host.add(pod, config)
  const found = ['accept_ra', 'disable_ipv6', 'keep_addr_on_down', 'ndisc_notify'].map((name) =>
    sysctl(pod, `ipv6/conf/net1/${name}`),
  )
  expect(found).toEqual(['0', '0', '1', '1'])
  expect(sysctl(pod, 'ipv4/conf/net1/arp_notify')).toBe('1')
  host.call('DEL', pod, config)
})

test('ADD keeps router advertisements off when the network is IPv4 only, and leaves them alone on layer 2', () => {
  using host = new Host()
  const pod = host.pod()
  host.add(pod, host.config())
  expect(sysctl(pod, 'ipv6/conf/net1/accept_ra')).toBe('0')
  host.call('DEL', pod, host.config())
  host.add(pod, host.config({ ipam: undefined }))
  expect(sysctl(pod, 'ipv6/conf/net1/accept_ra')).toBe('1')
  host.call('DEL', pod, host.config({ ipam: undefined }))
})

test('ADD adds a second default route, and one to its own subnet, when the pod has them already', () => {
  using host = new Host()
  const pod = host.pod()
  const networks = ['10.30.0', '10.31.0'].map((net, index) => {
    const routes = [{ dst: '0.0.0.0/0' }, { dst: `${net}.0/24` }, { dst: '10.99.0.0/16' }]
    const ipam = { type: 'berth-ipam', range: `${net}.0/24`, gateway: `${net}.1`, routes }
    return {
      config: host.config({ name: `net-${index}`, ipam }),
      options: { ifName: `net${index}` },
      gateway: `${net}.1`,
    }
  })
  for (const { config, options } of networks) host.add(pod, config, options)
  for (const { gateway } of networks) expect(ip('-n', pod.name, 'route', 'show', 'default')).toContain(`via ${gateway}`)
  for (const { config, options } of networks)
    expect(host.call('DEL', pod, config, options)).toMatchObject({ exitCode: 0 })
})

test.each(['0.3.1', '0.4.0', '1.0.0', '1.1.0'])(
  'a route keeps its table and metrics when the config speaks %s',
  (cniVersion) => {
    using host = new Host()
    const pod = host.pod()
    const routes = [{ dst: '10.98.0.0/16', gw: '10.30.0.1', table: 100, mtu: 1400, advmss: 1300, priority: 7 }]
    const config = host.config({ cniVersion, ipam: { type: 'berth-ipam', range: '10.30.0.0/24', routes } })
    const prevResult = host.add(pod, config)
    const [shown = ''] = ip('-n', pod.name, 'route', 'show', 'table', '100').split('\n')
    for (const part of ['10.98.0.0/16 via 10.30.0.1', 'metric 7', 'mtu 1400', 'advmss 1300'])
      expect(shown).toContain(part)
    if (cniVersion !== '0.3.1') expect(host.call('CHECK', pod, { ...config, prevResult }).stdout).toBe('')
    host.call('DEL', pod, config)
  },
)

test('ADD names the MAC when another link of the master has it', () => {
  using host = new Host()
  const [first, second] = [host.pod(), host.pod()]
  const config = host.config({ mac: '02:00:00:00:00:77' })
  host.add(first, config)
  const answer = host.call('ADD', second, config)
  expect(JSON.parse(answer.stdout)).toMatchObject({
    code: 102,
    msg: expect.stringContaining('"02:00:00:00:00:77" is in use'),
  })
  expect(host.linksOf(second.name)).toEqual([])
  host.call('DEL', first, config)
})

test('ADD answers, and does not wait for lost answers, when the kernel refuses hundreds of addresses', () => {
  using host = new Host()
  const pod = host.pod()
  const ips = Array.from({ length: 300 }, (_, index) => `fd00::${(index + 1).toString(16)}`)
  // IPv6 needs an MTU of 1280.
  const config = host.config({ mtu: 1000, ipam: { type: 'berth-ipam', range: 'fd00::/64' }, runtimeConfig: { ips } })
  const answer = host.call('ADD', pod, config)
  expect(JSON.parse(answer.stdout)).toMatchObject({ code: 102, msg: expect.stringContaining('"fd00::1/64"') })
  expect(host.leftovers()).toEqual([])
})
