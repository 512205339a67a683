/** Nodes and pods for the tests of hostAccess: strict about where packets come from, and asked whether they reach each other. */
import { spawnSync } from 'node:child_process'
import { type Attached, Host, ip, type Pod } from './host.ts'

const ranges = [
  { range: '10.20.0.0/24', range_start: '10.20.0.10' },
  { range: 'fd00:20::/64', range_start: 'fd00:20::10' },
]
const dual = { type: 'berth-ipam', ipRanges: ranges }
export const accessKeys = { hostAccess: true, ipam: dual }

export const inNetns = (name: string, ...command: string[]): boolean =>
  spawnSync('ip', ['netns', 'exec', name, ...command]).status === 0
export const reaches = (from: string, address: string, ...options: string[]): boolean =>
  inNetns(from, 'ping', '-c1', '-W1', ...options, address)

/** Takes in nothing on a link through which it would not answer. */
export function beStrict(name: string): void {
  const script = 'for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 > $f; done'
  ip('netns', 'exec', name, 'sh', '-c', script)
}

/** Gives a link of the node addresses. */
export function address(host: Host, link: string, ...addresses: string[]): void {
  for (const one of addresses) {
    ip('-n', host.node, 'addr', 'add', one, 'dev', link, ...(one.includes(':') ? ['nodad'] : []))
  }
}

export const near = ['10.20.0.5', 'fd00:20::5']
export const far = ['192.0.2.5', '2001:db8::5']

/** A host whose NIC has addresses, in the pods' subnets or in others. */
export function hostWith([four, six]: readonly string[]): Host {
  const host = new Host()
  ip('-n', host.node, 'link', 'set', 'lo', 'up')
  beStrict(host.node)
  address(host, host.nic, `${four}/24`, `${six}/64`)
  return host
}

/** A host whose NIC has no address: its own are those of another link, that of its default route. */
export function hostWithOtherLink(): Host {
  const host = new Host()
  beStrict(host.node)
  ip('-n', host.node, 'link', 'add', 'lan', 'type', 'veth', 'peer', 'name', 'router')
  for (const link of ['lan', 'router']) ip('-n', host.node, 'link', 'set', link, 'up')
  address(host, 'lan', '192.0.2.5/24', '2001:db8::5/64')
  ip('-n', host.node, 'route', 'add', 'default', 'via', '192.0.2.1')
  return host
}

export function strictPod(host: Host): Pod {
  const pod = host.pod()
  beStrict(pod.name)
  return pod
}

export const addressesOf = ({ ips = [] }: Attached): string[] =>
  ips.map(({ address: cidr }) => cidr.replace(/\/.*/, ''))
export const hostLinks = (host: Host): string[] => host.linksOf(host.node).filter((name) => name.startsWith('berth'))
