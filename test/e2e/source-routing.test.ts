/** A pod in several networks whose routers each know another remote host: who calls in through a network is answered through it. */
import { execFileSync, spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { type Attached, Host, ip, type Pod } from './host.ts'

interface Network {
  readonly config: Record<string, unknown>
  readonly options: { ifName: string }
  readonly router: Pod
  /** Behind the router, in no subnet of the pod. */
  readonly remote: string
}

/** A NIC of the node whose other end is a router that has the subnet's gateway, and a remote host behind it. */
function network(host: Host, index: number, keys: object): Network {
  const router = host.pod(`router-${index}`)
  const [nic, port, remote] = [`nic-${index}`, `port-${index}`, `192.0.2.${index}`]
  ip('-n', host.node, 'link', 'add', nic, 'type', 'veth', 'peer', 'name', port)
  ip('-n', host.node, 'link', 'set', port, 'netns', router.name)
  ip('-n', host.node, 'link', 'set', nic, 'up')
  for (const link of ['lo', port]) ip('-n', router.name, 'link', 'set', link, 'up')
  ip('-n', router.name, 'addr', 'add', `10.50.${index}.1/24`, 'dev', port)
  ip('-n', router.name, 'addr', 'add', `${remote}/32`, 'dev', 'lo')
  const ipam = {
    type: 'berth-ipam',
    range: `10.50.${index}.0/24`,
    gateway: `10.50.${index}.1`,
    routes: [{ dst: '0.0.0.0/0' }],
  }
  const config = host.config({ name: `net-${index}`, master: nic, ipam, ...keys })
  return { config, options: { ifName: `net${index}` }, router, remote }
}

/** A pod that takes in nothing on a link through which it would not answer. */
function strictPod(host: Host): Pod {
  const pod = host.pod()
  const strict = 'for f in all default; do echo 1 > /proc/sys/net/ipv4/conf/$f/rp_filter; done'
  ip('netns', 'exec', pod.name, 'sh', '-c', strict)
  return pod
}

const addressOf = ({ ips = [] }: Attached): string => ips[0]?.address.replace(/\/.*/, '') ?? ''

const answers = ({ router, remote }: Network, address: string): boolean =>
  spawnSync('ip', ['netns', 'exec', router.name, 'ping', '-c1', '-W1', '-I', remote, address]).status === 0

function removeAll(host: Host, pod: Pod, networks: readonly Network[]): void {
  for (const { config, options } of networks) {
    expect(host.call('DEL', pod, config, options)).toMatchObject({ exitCode: 0 })
    ip('-n', host.node, 'link', 'del', String(config.master))
  }
}

const rulesOf = (pod: Pod): string[] =>
  ip('-n', pod.name, 'rule')
    .split('\n')
    .filter((line) => line.includes('from 10.'))

test.each([[true], [{ table: 0 }]])(
  'a pod answers through each of three networks when sourceRouting is %j',
  (sourceRouting) => {
    using host = new Host()
    const pod = strictPod(host)
    const networks = [1, 2, 3].map((index) => network(host, index, { sourceRouting }))
    const results = networks.map(({ config, options }) => host.add(pod, config, options))
    const answered = networks.map((one, index) => answers(one, addressOf(results[index] as Attached)))
    expect(answered).toEqual([true, true, true])
    for (const [index, { config, options }] of networks.entries()) {
      expect(host.call('CHECK', pod, { ...config, prevResult: results[index] }, options)).toMatchObject({ exitCode: 0 })
    }
    expect(rulesOf(pod)).toHaveLength(3)
    // The main table is left to whoever has no source yet: no default route of these networks is in it.
    expect(ip('-n', pod.name, 'route', 'show', 'default')).toBe('')
    removeAll(host, pod, networks)
    expect(rulesOf(pod)).toEqual([])
  },
)

test('a pod answers through only one of three networks when there is no source routing', () => {
  using host = new Host()
  const pod = strictPod(host)
  const networks = [1, 2, 3].map((index) => network(host, index, {}))
  const results = networks.map(({ config, options }) => host.add(pod, config, options))
  expect(networks.filter((one, index) => answers(one, addressOf(results[index] as Attached)))).toHaveLength(1)
  removeAll(host, pod, networks)
})

test('a pod answers through each of two networks when the reference sbr is chained after ours', () => {
  using host = new Host()
  const pod = strictPod(host)
  const networks = [1, 2].map((index) => network(host, index, {}))
  const chained = networks.map(({ config, options }) => {
    const prevResult = host.add(pod, { ...config, cniVersion: '1.0.0' }, options)
    const sbr = { cniVersion: '1.0.0', name: config.name, type: 'sbr', prevResult }
    return { prevResult, result: host.add(pod, sbr, { ...options, plugin: '/usr/lib/cni/sbr' }) }
  })
  const answered = networks.map((one, index) => answers(one, addressOf(chained[index]?.prevResult as Attached)))
  expect(answered).toEqual([true, true])
  for (const [index, { config, options }] of networks.entries()) {
    const conf = { ...config, cniVersion: '1.0.0', prevResult: chained[index]?.result }
    expect(host.call('CHECK', pod, conf, options)).toMatchObject({ exitCode: 0, stdout: '' })
  }
  removeAll(host, pod, networks)
})

test('CHECK names the rule when it is gone, and the route in the table of its own', () => {
  using host = new Host()
  const pod = strictPod(host)
  const one = network(host, 1, { sourceRouting: { table: 77 } })
  const prevResult = host.add(pod, one.config, one.options)
  const check = () => JSON.parse(host.call('CHECK', pod, { ...one.config, prevResult }, one.options).stdout).msg
  ip('-n', pod.name, 'route', 'del', 'default', 'table', '77')
  expect(check()).toBe('Route to "0.0.0.0/0" through "net1" is absent, and should be in table 77')
  ip('-n', pod.name, 'rule', 'del', 'table', '77')
  expect(check()).toBe(`Rule from "${addressOf(prevResult)}" is absent, and should be to table 77`)
  removeAll(host, pod, [one])
})

test('DEL removes the rules of its own link only when another plugin made a rule for the same table', () => {
  using host = new Host()
  const pod = strictPod(host)
  const one = network(host, 1, { sourceRouting: { table: 77 } })
  host.add(pod, one.config, one.options)
  ip('-n', pod.name, 'rule', 'add', 'from', '10.99.0.1', 'table', '77')
  removeAll(host, pod, [one])
  expect(rulesOf(pod)).toEqual([expect.stringContaining('from 10.99.0.1 lookup 77')])
})

test.each([254, 255])('ADD refuses sourceRouting when its table is %i, and leaves nothing', (table) => {
  using host = new Host()
  const pod = host.pod()
  const answer = host.call('ADD', pod, host.config({ sourceRouting: { table } }))
  expect(JSON.parse(answer.stdout)).toMatchObject({
    code: 7,
    msg: expect.stringContaining(`sourceRouting.table ${table}`),
  })
})

test('an ADD that fails while it is configured takes its rules back', () => {
  using host = new Host()
  const pod = strictPod(host)
  const one = network(host, 1, { sourceRouting: true })
  // A route that the kernel refuses; the messages after it in the same batch are carried out all the same.
  const routes = [{ dst: '10.77.0.0/16', gw: '10.50.1.1', scope: 254 }]
  const ipam = { ...(one.config.ipam as object), routes }
  expect(host.call('ADD', pod, { ...one.config, ipam }, one.options)).toMatchObject({ exitCode: 1 })
  expect(rulesOf(pod)).toEqual([])
  execFileSync('ip', ['-n', host.node, 'link', 'del', 'nic-1'])
})
