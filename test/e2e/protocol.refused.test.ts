/** What an ADD must refuse of masters, MACs, names and namespaces: one error that names the value, and nothing changed. */
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type CallOptions, Host, ip, type Pod } from './host.ts'
import { failureOf } from './protocol.ts'

interface Refused {
  readonly when: string
  /** What is there before the call; a function to take it away comes back. */
  readonly before?: (host: Host, pod: Pod) => () => void
  readonly config?: (host: Host) => object
  readonly netns?: (host: Host) => string
  readonly options?: CallOptions
  readonly code: number
  /** Parts of message and details; `$netns` stands for the path. */
  readonly names: readonly string[]
}

const mac = '02:00:00:00:00:31'
const nothing = (): void => undefined

/** Another pod that has the MAC on the same master, in this mode. */
const macTaken = (mode: string): Refused => ({
  when: `another pod has the MAC on this master, in mode ${mode}`,
  before: (host) => {
    const [other, config] = [host.pod('holder'), host.config({ mode, mac })]
    host.add(other, config)
    return () => host.call('DEL', other, config)
  },
  config: (host) => host.config({ mode, mac }),
  code: 102,
  names: [`mac "${mac}" is in use on its master`, '"net1"'],
})

const badMac = (text: string, why: string): Refused => ({
  when: `the MAC is ${text}`,
  config: (host) => host.config({ runtimeConfig: { mac: text } }),
  code: 7,
  names: [`"${text}": ${why}`],
})

/** A path below the test's directory that is not that of a namespace. */
const badPath = (when: string, make: (path: string) => void): Refused => ({
  when,
  netns: (host) => {
    const path = join(host.dataDir, 'no-namespace')
    make(path)
    return path
  },
  code: 4,
  names: ['"$netns"', 'not a network namespace'],
})

const masters: Refused[] = [
  {
    when: 'the master is in the pod, without linkInContainer',
    before: (_, pod) => {
      ip('-n', pod.name, 'link', 'add', 'inner0', 'type', 'veth', 'peer', 'name', 'inner1')
      return () => ip('-n', pod.name, 'link', 'del', 'inner0')
    },
    config: (host) => host.config({ master: 'inner0' }),
    code: 7,
    names: ['"inner0"', 'the host has no such link'],
  },
  {
    when: 'the master is on the node, with linkInContainer',
    config: (host) => host.config({ linkInContainer: true }),
    code: 7,
    names: ['"nic0"', 'the container has no such link'],
  },
  { when: 'the master is the loopback', config: (host) => host.config({ master: 'lo' }), code: 102, names: ['"lo"'] },
  {
    when: 'the master is a port of a bridge',
    before: (host) => {
      ip('-n', host.node, 'link', 'add', 'br0', 'type', 'bridge')
      ip('-n', host.node, 'link', 'set', host.nic, 'master', 'br0')
      return () => ip('-n', host.node, 'link', 'del', 'br0')
    },
    code: 102,
    names: ['"nic0"', 'EBUSY'],
  },
]

const links: Refused[] = [
  badMac('01:00:5e:00:00:01', 'it is a multicast address'),
  badMac('33-33-00-00-00-01', 'it is a multicast address'),
  badMac('ff:ff:ff:ff:ff:ff', 'it is a multicast address'),
  badMac('00:00:00:00:00:00', 'it is all zeros'),
  ...['bridge', 'private', 'vepa'].map(macTaken),
  {
    when: 'the MAC is that of the master',
    before: (host) => {
      ip('-n', host.node, 'link', 'set', host.nic, 'address', mac)
      return nothing
    },
    config: (host) => host.config({ mac }),
    code: 102,
    names: [`mac "${mac}"`],
  },
  {
    when: 'a MAC is asked for in mode passthru',
    config: (host) => host.config({ mode: 'passthru', mac }),
    code: 7,
    names: [`"${mac}"`, '"passthru"'],
  },
  {
    when: 'another pod has the master to itself',
    before: (host) => {
      const [other, config] = [host.pod('holder'), host.config({ mode: 'passthru' })]
      host.add(other, config)
      return () => host.call('DEL', other, config)
    },
    config: (host) => host.config({ mode: 'passthru' }),
    code: 102,
    names: ['"nic0"'],
  },
  {
    when: 'another attachment has the interface name',
    before: (host, pod) => {
      const config = host.config({ name: 'net-b' })
      host.add(pod, config)
      return () => host.call('DEL', pod, config)
    },
    code: 103,
    names: ['"net1"', 'has an interface of that name'],
  },
  { when: 'the interface name is that of the loopback', options: { ifName: 'lo' }, code: 103, names: ['"lo"'] },
  ...['source', 'Bridge', ' '].map((mode) => ({
    when: `the mode is ${JSON.stringify(mode)}`,
    config: (host: Host) => host.config({ mode }),
    code: 7,
    names: [`"mode": ${JSON.stringify(mode)}: must be one of bridge, private, vepa, passthru`],
  })),
  ...[1501, 65_536, 4_294_967_295].map((mtu) => ({
    when: `the MTU is ${mtu} on a master of 1500`,
    config: (host: Host) => host.config({ mtu }),
    code: 7,
    names: [`mtu ${mtu}: must be 0 to 1500`, '"nic0"'],
  })),
]

const delegates: Refused[] = [
  {
    when: 'the IPAM plugin is in no folder of CNI_PATH',
    config: (host) => host.config({ ipam: { type: 'no-such-ipam' } }),
    code: 7,
    names: ['failed to find plugin "no-such-ipam"'],
  },
  {
    when: 'the IPAM plugin is a path',
    config: (host) => host.config({ ipam: { type: '../../bin/sh' } }),
    code: 7,
    names: ['"../../bin/sh": the type is a path'],
  },
  {
    when: 'the IPAM plugin is the main plugin itself',
    config: (host) => host.config({ ipam: { type: 'berth-macvlan' } }),
    code: 7,
    names: ['"berth-macvlan"'],
  },
]

const namespaces: Refused[] = [
  badPath('the namespace is a plain file', (path) => writeFileSync(path, '')),
  badPath('the namespace is a directory', (path) => symlinkSync('/run/netns', path)),
  badPath('the namespace is a dangling link', (path) => symlinkSync('/run/netns/none', path)),
  badPath('the namespace is a link to itself', (path) => symlinkSync(path, path)),
  badPath('the namespace is a device', (path) => symlinkSync('/dev/null', path)),
  badPath('the namespace is one of processes', (path) => symlinkSync('/proc/self/ns/pid', path)),
  {
    when: 'the namespace is the host’s own, by its process',
    netns: () => '/proc/self/ns/net',
    code: 8,
    names: ['"$netns"'],
  },
  {
    when: 'the namespace is the host’s own, by its mount',
    netns: (host) => `/run/netns/${host.node}`,
    code: 8,
    names: ['"$netns"'],
  },
  {
    when: 'the namespace is the host’s own, behind a link',
    netns: (host) => {
      const path = join(host.dataDir, 'pod')
      symlinkSync(`/run/netns/${host.node}`, path)
      return path
    },
    code: 8,
    names: ['"$netns"'],
  },
]

/** What an attachment could change of a namespace; not what changes by itself after a link came up. */
function picture(name: string): string[] {
  const details: { ifname: string; address: string; mtu: number; promiscuity: number; flags: string[] }[] = JSON.parse(
    ip('-n', name, '-d', '-j', 'link'),
  )
  const links = details.map(({ ifname, address, mtu, promiscuity, flags }) =>
    [ifname, address, mtu, promiscuity, flags.includes('UP')].join(' '),
  )
  // The table of local routes has an entry for every address.
  return [...links, ip('-n', name, '-4', 'route', 'show', 'table', 'all')]
}

test.each([...masters, ...links, ...delegates, ...namespaces])(
  'ADD names the value and changes nothing when $when',
  ({ before = () => nothing, config, netns, options, code, names }) => {
    using host = new Host()
    const pod = host.pod()
    const after = before(host, pod)
    const path = netns?.(host) ?? pod.netns
    const pictures = (): string[] => [...picture(host.node), ...picture(pod.name), ...host.leaseFiles()]
    const untouched = pictures()
    const {
      code: found,
      msg,
      details = '',
    } = failureOf(host.call('ADD', { ...pod, netns: path }, config?.(host) ?? host.config(), options))
    expect(found).toBe(code)
    for (const name of names) expect(`${msg} ${details}`).toContain(name.replace('$netns', path))
    expect(pictures()).toEqual(untouched)
    after()
  },
)
