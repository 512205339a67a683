/** berth-macvlan in a chain, as a runtime calls it: after another plugin, and before Debian's tuning and sbr. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Answer, type Attached, Host, ip, type Pod } from './host.ts'
import { allows, expectVerb, kernelLink, silence } from './protocol.ts'

const referencePlugins = '/usr/lib/cni'
const debians = (type: string) => ({
  plugin: join(referencePlugins, type),
  environment: { CNI_PATH: referencePlugins },
})

function resultOf({ exitCode, stdout }: Answer): Attached {
  expect({ exitCode, stdout }).toMatchObject({ exitCode: 0 })
  return JSON.parse(stdout)
}

const eth0 = { name: 'eth0', mac: '02:00:00:00:00:e0', sandbox: '/run/netns/pod' }
const previous: [string, object][] = [
  [
    'of the same version',
    {
      cniVersion: '1.0.0',
      interfaces: [eth0],
      ips: [{ address: '10.9.0.2/24', interface: 0 }],
      routes: [{ dst: '10.8.0.0/16' }],
    },
  ],
  ['of an older version', { cniVersion: '0.3.1', interfaces: [eth0], ips: [{ version: '4', address: '10.9.0.2/24' }] }],
  ['without a version', { ips: [{ address: '10.9.0.2/24' }], dns: { nameservers: ['10.9.0.53'] } }],
  ['of an unknown version', { cniVersion: '9.9.9', ips: 'none' }],
]

test.each(previous)('ADD takes nothing over from a prevResult %s, as the reference macvlan', (_, prevResult) => {
  using host = new Host()
  const ipam = {
    type: 'static',
    addresses: [{ address: '10.20.0.7/24', gateway: '10.20.0.1' }],
    routes: [{ dst: '10.50.0.0/16' }],
  }
  const config = host.config({ cniVersion: '1.0.0', ipam, prevResult })
  const answers = [{ environment: debians('').environment }, debians('macvlan')].map((options) => {
    const pod = host.pod()
    const result = resultOf(host.call('ADD', pod, config, options))
    const { address, mtu } = kernelLink(pod)
    const [attached] = result.interfaces ?? []
    expect(attached).toEqual({ name: 'net1', mac: address, sandbox: pod.netns })
    const routes = ip('-n', pod.name, '-4', 'route')
    expect(host.call('DEL', pod, config, options)).toMatchObject({ exitCode: 0, stdout: '' })
    return { ...result, dns: result.dns ?? {}, interfaces: result.interfaces?.length, mtu, routes }
  })
  expect(answers[0]).toEqual(answers[1])
  expect(answers[0]).toMatchObject({ interfaces: 1, ips: [{ interface: 0, address: '10.20.0.7/24' }] })
})

const ipam = { type: 'berth-ipam', range: '10.20.0.0/24', gateway: '10.20.0.1' }

/** Every plugin of the chain with the config that a runtime makes for it: all speak one version of one network. */
function chain(host: Host, pod: Pod, cniVersion: string, main: object, next: { readonly type: string }) {
  const links = [
    { config: host.config({ cniVersion, ipam, ...main }), options: {} },
    { config: { cniVersion, name: 'net-a', ...next }, options: debians(next.type) },
  ] as const
  let prevResult: Attached | undefined
  const all = (verb: string, order: readonly (typeof links)[number][]): Answer[] =>
    order.map(({ config, options }) => host.call(verb, pod, { ...config, prevResult }, options))
  return {
    add(): Attached {
      for (const { config, options } of links) {
        prevResult = resultOf(host.call('ADD', pod, { ...config, ...(prevResult && { prevResult }) }, options))
      }
      if (prevResult === undefined) throw new Error('an empty chain')
      return prevResult
    },
    /** In the order of ADD; the main plugin's answer first. */
    check: () => all('CHECK', links),
    /** The last plugin first; `del` expects success, of which sbr speaks at length. */
    del(): void {
      for (const { exitCode, stdout } of all('DEL', links.toReversed())) {
        expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: '' })
      }
      expect(host.leftovers()).toEqual([])
    },
  }
}

const spoken = ['0.3.1', '0.4.0', '1.0.0'] as const

test.each(spoken)(
  'tuning changes the link of berth-macvlan and CHECK agrees when the chain speaks %s',
  (cniVersion) => {
    using host = new Host()
    const pod = host.pod()
    const changed = { mtu: 1300, mac: '02:00:00:00:00:13', promisc: true, allmulti: true }
    const tuning = { type: 'tuning', dataDir: join(host.dataDir, 'tuning'), ...changed }
    const plugins = chain(host, pod, cniVersion, { ipam: { ...ipam, routes: [{ dst: '10.50.0.0/16' }] } }, tuning)
    expect(plugins.add()).toMatchObject({
      cniVersion,
      interfaces: [{ name: 'net1', mac: changed.mac, sandbox: pod.netns }],
      ips: [{ interface: 0, address: '10.20.0.2/24', gateway: '10.20.0.1' }],
      routes: [{ dst: '10.50.0.0/16' }],
    })
    const link = kernelLink(pod)
    expect(link).toMatchObject({ mtu: 1300, address: changed.mac })
    expect(link.flags).toEqual(expect.arrayContaining(['PROMISC', 'ALLMULTI', 'UP']))
    const [ours, theirs] = plugins.check()
    if (ours === undefined || theirs === undefined) throw new Error('two plugins')
    expectVerb(cniVersion, 'CHECK', ours)
    expect(theirs.exitCode).toBe(allows(cniVersion, 'CHECK') ? 0 : 1)
    plugins.del()
  },
)

test.each(spoken)(
  'sbr gives the address of berth-macvlan a table and CHECK agrees when the chain speaks %s',
  (cniVersion) => {
    using host = new Host()
    const pod = host.pod()
    const plugins = chain(host, pod, cniVersion, {}, { type: 'sbr' })
    expect(plugins.add()).toMatchObject({
      cniVersion,
      ips: [{ interface: 0, address: '10.20.0.2/24', gateway: '10.20.0.1' }],
    })
    expect(ip('-n', pod.name, 'rule')).toContain('from 10.20.0.2 lookup 100')
    expect(ip('-n', pod.name, 'route', 'show', 'table', '100')).toContain('default via 10.20.0.1 dev net1')
    const [ours, theirs] = plugins.check()
    if (ours === undefined || theirs === undefined) throw new Error('two plugins')
    expectVerb(cniVersion, 'CHECK', ours)
    expect(theirs.exitCode).toBe(allows(cniVersion, 'CHECK') ? 0 : 1)
    plugins.del()
    expect(ip('-n', pod.name, 'rule')).not.toContain('lookup 100')
  },
)

test('DEL of berth-macvlan removes link and lease when the runtime lost prevResult and never called sbr', () => {
  using host = new Host()
  const pod = host.pod()
  chain(host, pod, '1.0.0', {}, { type: 'sbr' }).add()
  expect(host.call('DEL', pod, host.config({ cniVersion: '1.0.0' }))).toEqual(silence)
  expect(host.leftovers()).toEqual([])
})
