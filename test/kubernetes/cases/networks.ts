/** What a pod gets, and what Multus tells of it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { namespace } from '../rig.ts'
import { Truth } from '../truth.ts'
import { type Case, macvlan } from './case.ts'

const examples = join(import.meta.dirname, '..', '..', '..', 'examples')

const severalNetworks: Case = {
  title: 'a pod with several networks, one of them twice',
  run(rig) {
    const dualStack = { type: 'berth-ipam', ipRanges: [{ range: '10.31.0.0/24' }, { range: 'fd00:31::/64' }] }
    rig.define({ storage: macvlan('10.30.0.0/24'), backup: macvlan('', { ipam: dualStack }) })
    const pods = [rig.attach('storage,backup,storage@extra'), rig.attach('storage, backup')] as const
    const [one, other] = [new Truth(rig.machine, pods[0]), new Truth(rig.machine, pods[1])]
    expect(one.links().map(({ ifname }) => ifname)).toEqual(['eth0', 'extra', 'net1', 'net2'])
    expect(other.links().map(({ ifname }) => ifname)).toEqual(['eth0', 'net1', 'net2'])
    expect(one.addresses('net2')).toHaveLength(2)
    const all = [...one.addresses('net1'), ...one.addresses('extra'), ...other.addresses('net1')]
    expect(new Set(all).size).toBe(3)
    for (const address of [...other.addresses('net1'), ...other.addresses('net2')]) {
      expect(one.ping(address.replace(/\/.*/, '')), address).toBe(true)
    }
    rig.detach(...pods)
  },
}

const foreignMain: Case = {
  title: 'berth-ipam under a main plugin of others, and berth-macvlan in a chain',
  run(rig) {
    const ipam = { type: 'berth-ipam', range: '10.32.0.0/24' }
    const chain = [
      { type: 'berth-macvlan', master: 'nic0', ipam },
      { type: 'tuning', mtu: 1300 },
    ]
    rig.define({
      bridged: { cniVersion: '1.0.0', type: 'bridge', bridge: 'cni0', ipam },
      chained: { cniVersion: '1.0.0', plugins: chain },
    })
    const pod = rig.attach('bridged,chained')
    const truth = new Truth(rig.machine, pod)
    expect(truth.addresses('net1')).toEqual([expect.stringMatching(/^10\.32\.0\.\d+\/24$/)])
    expect(truth.link('net2').mtu).toBe(1300)
    expect(rig.leases().map((line) => line.replace(/ .*\//, ' '))).toEqual([
      `bridged ${pod.pod.metadata.name}`,
      `chained ${pod.pod.metadata.name}`,
    ])
    rig.detach(pod)
  },
}

const example: Case = {
  title: 'the example NAD as it is in examples/',
  run(rig) {
    rig.cluster.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'openstack' } }])
    rig.cluster.apply(readFileSync(join(examples, 'internalapi.yaml'), 'utf8'))
    const pods = [rig.attach('openstack/internalapi'), rig.attach('openstack/internalapi')]
    const addresses = pods.flatMap((pod) => new Truth(rig.machine, pod).addresses('net1'))
    expect(addresses).toEqual([
      expect.stringMatching(/^172\.17\.0\.\d+\/24$/),
      expect.stringMatching(/^172\.17\.0\.\d+\/24$/),
    ])
    expect(new Set(addresses).size).toBe(2)
    rig.detach(...pods)
  },
}

/** The versions that NADs have, and whether a result in them has an MTU. */
const versions: [string, boolean][] = [
  ['0.3.1', false],
  ['0.4.0', false],
  ['1.0.0', false],
  ['1.1.0', true],
]

const networkStatus: Case = {
  title: 'network-status is what the kernel has, field by field',
  run(rig) {
    const dns = { nameservers: ['10.33.0.53'], domain: 'storage.example', search: ['example'] }
    const ipam = { type: 'berth-ipam', ipRanges: [{ range: '10.33.0.0/24' }, { range: 'fd00:33::/64' }] }
    const names = versions.map(([version]) => `status-${version.replaceAll('.', '-')}`)
    rig.define(
      Object.fromEntries(
        versions.map(([cniVersion], index) => [names[index], macvlan('', { cniVersion, ipam, dns, mtu: 1400 })]),
      ),
    )
    const pod = rig.attach(names.join(','))
    const [truthOfEth0, ...truths] = new Truth(rig.machine, pod).status()
    const [eth0, ...status] = rig.statusOf(pod)
    const { mtu: _, ...known } = truthOfEth0 ?? {}
    expect(eth0).toEqual({ name: 'cluster-network', ...known, default: true, dns: {}, gateway: ['10.244.0.1'] })
    const expected = truths.map(({ mtu, ...truth }, index) => ({
      name: `${namespace}/${names[index]}`,
      ...truth,
      ...(versions[index]?.[1] === true ? { mtu } : {}),
      dns,
    }))
    expect(truths.map(({ mtu, ips }) => [mtu, ips?.length])).toEqual(versions.map(() => [1400, 2]))
    expect(status).toEqual(expected)
    rig.detach(pod)
  },
}

export const networks: readonly Case[] = [severalNetworks, foreignMain, example, networkStatus]
