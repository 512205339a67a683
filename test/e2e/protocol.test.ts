/** Every verb in every version of the specification: of berth-macvlan in every mode, and of berth-ipam alone. */
import { expect, test } from 'vitest'
import { Host, type Pod } from './host.ts'
import {
  allows,
  expectVerb,
  expectVersionAnswer,
  failureOf,
  kernelLink,
  silence,
  type Version,
  versions,
} from './protocol.ts'

const ipam = {
  type: 'berth-ipam',
  ipRanges: [{ range: '10.20.0.0/24' }, { range: 'fd00:20::/64' }],
  gateway: '10.20.0.1',
  routes: [{ dst: '0.0.0.0/0' }, { dst: 'fd00:99::/64', gw: 'fd00:20::ff' }],
}
const ip4 = { ip: '10.20.0.2/24', gateway: '10.20.0.1', routes: [{ dst: '0.0.0.0/0' }] }
const ip6 = { ip: 'fd00:20::1/64', routes: [{ dst: 'fd00:99::/64', gw: 'fd00:20::ff' }] }
const routes = ipam.routes
const v4 = { address: '10.20.0.2/24', gateway: '10.20.0.1' }
const v6 = { address: 'fd00:20::1/64' }

/** A version's result: its addresses and routes, the keys of its interfaces (none: it has no interfaces). */
interface Shape {
  /** `onLink` is what an address has of its interface; nothing in the result of an IPAM. */
  readonly result: (onLink: object) => object
  readonly link?: readonly ('name' | 'mac' | 'sandbox' | 'mtu')[]
  /** Whether a result without any DNS prints the key all the same, as the reference library does. */
  readonly emptyDns: boolean
}

const legacy: Shape = { result: () => ({ ip4, ip6 }), emptyDns: true }
const numbered: Shape = {
  result: (onLink) => ({
    ips: [
      { version: '4', ...onLink, ...v4 },
      { version: '6', ...onLink, ...v6 },
    ],
    routes,
  }),
  link: ['name', 'mac', 'sandbox'],
  emptyDns: true,
}
const plain: Shape = {
  result: (onLink) => ({
    ips: [
      { ...onLink, ...v4 },
      { ...onLink, ...v6 },
    ],
    routes,
  }),
  link: ['name', 'mac', 'sandbox'],
  emptyDns: false,
}
const shapes: Record<Version, Shape> = {
  '0.1.0': legacy,
  '0.2.0': legacy,
  '0.3.0': numbered,
  '0.3.1': numbered,
  '0.4.0': numbered,
  '1.0.0': plain,
  '1.1.0': { ...plain, link: ['name', 'mac', 'sandbox', 'mtu'] },
}

const dns = { nameservers: ['10.20.0.53'], search: ['shop.example'] }
const mtu = 1400

/** The whole result of an attachment whose link the kernel shows with that MAC. */
function macvlanResult(version: Version, pod: Pod, mac: string): object {
  const { result, link } = shapes[version]
  const all = { name: 'net1', mac, sandbox: pod.netns, mtu }
  if (link === undefined) return { cniVersion: version, ...result({}), dns }
  const named = Object.fromEntries(link.map((key) => [key, all[key]]))
  return { cniVersion: version, interfaces: [named], ...result({ interface: 0 }), dns }
}

const modes = ['bridge', 'private', 'vepa', 'passthru'] as const
const cells = modes.flatMap((mode) => versions.map((version) => ({ mode, version })))

test.each(cells)('berth-macvlan answers all verbs as $version says when the mode is $mode', ({ mode, version }) => {
  using host = new Host()
  const pod = host.pod()
  const config = host.config({ cniVersion: version, mode, mtu, dns, ipam })
  const call = (verb: string, more: object = {}) => host.call(verb, pod, { ...config, ...more })
  const valid = { 'cni.dev/valid-attachments': [{ containerID: pod.containerId, ifname: 'net1' }] }
  const held = ['10.20.0.2', 'fd00:20::1', `net-a,${pod.containerId},net1`]

  expectVersionAnswer(call('VERSION'))
  expectVerb(version, 'STATUS', call('STATUS'))
  expect(host.leftovers()).toEqual([])

  const added = call('ADD')
  const link = kernelLink(pod)
  expect(link).toMatchObject({ mtu, linkinfo: { info_kind: 'macvlan', info_data: { mode } } })
  expect(link.flags).toContain('UP')
  expect(added).toMatchObject({ exitCode: 0, stderr: '' })
  const prevResult = JSON.parse(added.stdout)
  expect(prevResult).toEqual(macvlanResult(version, pod, link.address))

  expectVerb(version, 'CHECK', call('CHECK', { prevResult }))
  if (allows(version, 'CHECK')) {
    const without = { cniVersion: version, code: 7, msg: 'required prevResult missing' }
    expect(failureOf(call('CHECK'))).toEqual(without)
  }
  expectVerb(version, 'GC', call('GC', valid))
  // Whatever was refused or only looked: link and leases are as they were.
  expect(kernelLink(pod)).toEqual(link)
  expect(host.leaseFiles()).toEqual(held)

  expect(call('DEL')).toEqual(silence)
  expect(host.leftovers()).toEqual([])
  expect(call('DEL', { prevResult })).toEqual(silence)
})

test.each(versions)('berth-ipam answers all verbs as %s says when a foreign plugin calls it', (version) => {
  using host = new Host()
  const pod = host.pod()
  const config = { cniVersion: version, name: 'net-a', type: 'ptp', ipam }
  const call = (verb: string, more: object = {}) =>
    host.call(verb, pod, { ...config, ...more }, { plugin: 'berth-ipam' })
  const { result, emptyDns } = shapes[version]

  expectVersionAnswer(call('VERSION'))
  expectVerb(version, 'STATUS', call('STATUS'))
  expect(host.leftovers()).toEqual([])

  const added = call('ADD')
  expect(added).toMatchObject({ exitCode: 0, stderr: '' })
  const prevResult = JSON.parse(added.stdout)
  expect(prevResult).toEqual({ cniVersion: version, ...result({}), ...(emptyDns ? { dns: {} } : {}) })
  const held = host.leaseFiles()
  expect(held).toHaveLength(3)

  expectVerb(version, 'CHECK', call('CHECK', { prevResult }))
  if (allows(version, 'CHECK')) {
    expect(failureOf(call('CHECK'))).toMatchObject({ code: 7, msg: 'required prevResult missing' })
  }
  expectVerb(
    version,
    'GC',
    call('GC', { 'cni.dev/valid-attachments': [{ containerID: pod.containerId, ifname: 'net1' }] }),
  )
  expect(host.leaseFiles()).toEqual(held)

  expect(call('DEL')).toEqual(silence)
  expect(host.leftovers()).toEqual([])
  expect(call('DEL', { prevResult })).toEqual(silence)
})
