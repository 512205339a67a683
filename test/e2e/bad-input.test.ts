/** Every bad input gets one CNI error that names the value, exit code 1, and leaves neither link nor lease behind. */
import { expect, test } from 'vitest'
import { type CallOptions, Host, type Pod } from './host.ts'

interface BadInput {
  readonly when: string
  readonly config?: (host: Host) => object | string
  readonly pod?: (pod: Pod) => Pod
  readonly verb?: string
  readonly options?: CallOptions
  readonly code: number
  readonly names: string
}

const ipam = (more: object): object => ({ type: 'berth-ipam', range: '10.20.0.0/24', ...more })

const environmentCases: BadInput[] = [
  {
    when: 'the container ID climbs out',
    pod: (pod) => ({ ...pod, containerId: '../../x' }),
    code: 4,
    names: '../../x',
  },
  {
    when: 'the container ID is endless',
    pod: (pod) => ({ ...pod, containerId: 'c'.repeat(300) }),
    code: 4,
    names: 'c'.repeat(300),
  },
  {
    when: 'the interface name has 16 bytes',
    options: { ifName: 'abcdefghijklmnop' },
    code: 4,
    names: 'abcdefghijklmnop',
  },
  { when: 'the interface name has a slash', options: { ifName: 'a/b' }, code: 4, names: 'a/b' },
  { when: 'the interface name is a pattern', options: { ifName: 'net%d' }, code: 4, names: 'net%d' },
  {
    when: 'the namespace does not exist',
    pod: (pod) => ({ ...pod, netns: '/run/netns/none' }),
    code: 4,
    names: '/run/netns/none',
  },
  {
    when: 'the namespace is a plain file',
    pod: (pod) => ({ ...pod, netns: '/etc/hostname' }),
    code: 4,
    names: '/etc/hostname',
  },
  {
    when: 'the namespace is of another kind',
    pod: (pod) => ({ ...pod, netns: '/proc/self/ns/uts' }),
    code: 4,
    names: '/proc/self/ns/uts',
  },
  {
    when: "the namespace is the caller's own",
    pod: (pod) => ({ ...pod, netns: '/proc/self/ns/net' }),
    code: 8,
    names: '/proc/self/ns/net',
  },
  { when: 'a variable is missing', pod: (pod) => ({ ...pod, netns: '' }), code: 4, names: '[CNI_NETNS]' },
  { when: 'the command is unknown', verb: 'FOO', code: 4, names: 'FOO' },
  { when: 'CNI_ARGS is not pairs', options: { environment: { CNI_ARGS: 'bad' } }, code: 4, names: 'bad' },
  { when: 'CNI_ARGS has an unknown key', options: { environment: { CNI_ARGS: 'FOO=1' } }, code: 4, names: 'FOO=1' },
]

const configCases: BadInput[] = [
  { when: 'the config is broken JSON', config: () => '{"cniVersion":', code: 6, names: 'JSON' },
  { when: 'the config is empty', config: () => '', code: 6, names: 'unmarshall' },
  { when: 'the config is a list', config: () => '[]', code: 6, names: 'object' },
  { when: 'the version is unknown', config: (host) => host.config({ cniVersion: '2.0.0' }), code: 1, names: '2.0.0' },
  { when: 'the network has no name', config: (host) => host.config({ name: '' }), code: 7, names: 'network name' },
  { when: 'the network name has a slash', config: (host) => host.config({ name: 'a/b' }), code: 7, names: 'a/b' },
  {
    when: 'the master does not exist',
    config: (host) => host.config({ master: 'absent0' }),
    code: 7,
    names: 'absent0',
  },
  {
    when: 'there is no default route',
    config: (host) => host.config({ master: undefined }),
    code: 7,
    names: 'default route',
  },
  { when: 'the MTU is above the master’s', config: (host) => host.config({ mtu: 9000 }), code: 7, names: '9000' },
  { when: 'the MTU is negative', config: (host) => host.config({ mtu: -1 }), code: 7, names: '-1' },
  { when: 'the MTU is a text', config: (host) => host.config({ mtu: '1500' }), code: 7, names: '"1500"' },
  { when: 'the mode is unknown', config: (host) => host.config({ mode: 'source' }), code: 7, names: 'source' },
  { when: 'the MAC is none', config: (host) => host.config({ mac: 'xx' }), code: 7, names: 'xx' },
  {
    when: 'the MAC is multicast',
    config: (host) => host.config({ mac: '01:00:5e:00:00:01' }),
    code: 7,
    names: '01:00:5e:00:00:01',
  },
  {
    when: 'layer 2 has no result in this version',
    config: (host) => host.config({ ipam: undefined, cniVersion: '0.2.0' }),
    code: 7,
    names: '0.2.0',
  },
]

const ipamCases: BadInput[] = [
  {
    when: 'the range does not parse',
    config: (host) => host.config({ ipam: ipam({ range: '10.20.0.0/33' }) }),
    code: 7,
    names: '10.20.0.0/33',
  },
  {
    when: 'an exclusion does not parse',
    config: (host) => host.config({ ipam: ipam({ exclude: ['10.20.0.x'] }) }),
    code: 7,
    names: '10.20.0.x',
  },
  {
    when: 'a bound lies outside',
    config: (host) => host.config({ ipam: ipam({ range_start: '10.21.0.1' }) }),
    code: 7,
    names: '10.21.0.1',
  },
  {
    when: 'the bounds are inverted',
    config: (host) => host.config({ ipam: ipam({ range_start: '10.20.0.9', range_end: '10.20.0.3' }) }),
    code: 7,
    names: '10.20.0.3',
  },
  {
    when: 'the gateway does not parse',
    config: (host) => host.config({ ipam: ipam({ gateway: 'gw' }) }),
    code: 7,
    names: 'gw',
  },
  {
    when: 'a route does not parse',
    config: (host) => host.config({ ipam: ipam({ routes: [{ dst: 'x' }] }) }),
    code: 7,
    names: '"x"',
  },
  {
    when: 'the ipam gives nothing',
    config: (host) => host.config({ ipam: { type: 'berth-ipam' } }),
    code: 7,
    names: 'range',
  },
  {
    when: 'the range is exhausted',
    config: (host) => host.config({ ipam: ipam({ exclude: ['10.20.0.0/24'] }) }),
    code: 100,
    names: '10.20.0.0/24',
  },
  {
    when: 'a requested address is none',
    config: (host) => host.config({ runtimeConfig: { ips: ['10.20.0.300'] } }),
    code: 7,
    names: '10.20.0.300',
  },
  {
    when: 'a requested address is in no range',
    config: (host) => host.config({ runtimeConfig: { ips: ['10.99.0.1'] } }),
    code: 7,
    names: '10.99.0.1',
  },
  {
    when: 'the gateway is requested',
    config: (host) => host.config({ ipam: ipam({ gateway: '10.20.0.1' }), runtimeConfig: { ips: ['10.20.0.1'] } }),
    code: 7,
    names: '10.20.0.1',
  },
  {
    when: 'the IPAM plugin is a path',
    config: (host) => host.config({ ipam: { type: '../../bin/sh' } }),
    code: 7,
    names: '../../bin/sh',
  },
  {
    when: 'the IPAM plugin is not there',
    config: (host) => host.config({ ipam: { type: 'no-such-ipam' } }),
    code: 7,
    names: 'no-such-ipam',
  },
  {
    when: 'the kernel refuses a route',
    config: (host) => host.config({ ipam: ipam({ routes: [{ dst: '10.50.0.0/24', gw: '10.20.0.1', scope: 253 }] }) }),
    code: 102,
    names: '10.50.0.0/24',
  },
  {
    when: 'a number does not fit the kernel',
    config: (host) => host.config({ ipam: ipam({ routes: [{ dst: '10.50.0.0/24', scope: 300 }] }) }),
    code: 7,
    names: '300',
  },
]

function refuses({ config, pod, verb = 'ADD', options = {}, code, names }: BadInput): void {
  using host = new Host()
  const own = host.pod()
  const answer = host.call(verb, pod === undefined ? own : pod(own), config?.(host) ?? host.config(), options)
  expect(answer.exitCode).toBe(1)
  const error: { code: number; msg: string; details?: string } = JSON.parse(answer.stdout)
  expect(error.code).toBe(code)
  expect(`${error.msg} ${error.details ?? ''}`).toContain(names)
  expect(host.leftovers()).toEqual([])
}

test.each(environmentCases)('ADD refuses the call when $when', refuses)
test.each(configCases)('ADD refuses the config when $when', refuses)
test.each(ipamCases)('ADD refuses the ipam when $when', refuses)

test('ADD names the holder when a requested address is taken', () => {
  using host = new Host()
  const [holder, late] = [host.pod('holder'), host.pod('late')]
  const config = host.config({ runtimeConfig: { ips: ['10.20.0.200/24'] } })
  expect(host.add(holder, config).ips?.[0]?.address).toBe('10.20.0.200/24')
  const answer = host.call('ADD', late, config)
  expect(JSON.parse(answer.stdout)).toMatchObject({
    code: 101,
    msg: 'Cannot claim "10.20.0.200": held by "holder/net1" of network "net-a"',
  })
  expect(host.linksOf(late.name)).toEqual([])
  host.call('DEL', holder, config)
})

test('the program prints what it is when CNI_COMMAND is missing, and warns of a key that is nearly right', () => {
  using host = new Host()
  const pod = host.pod()
  const about = host.call('', pod, '')
  expect(about).toMatchObject({ exitCode: 0, stdout: '' })
  expect(about.stderr).toMatch(/^CNI berth-macvlan plugin .*\nCNI protocol versions supported: 0\.1\.0, .*1\.1\.0\n$/)
  const config = host.config({ mastre: 'x', ipam: ipam({ rangestart: '10.20.0.5' }) })
  const added = host.call('ADD', pod, config)
  expect(added).toMatchObject({ exitCode: 0 })
  expect(added.stderr).toContain('"mastre" is ignored; did you mean "master"')
  expect(added.stderr).toContain('"ipam.rangestart" is ignored; did you mean "range_start"')
  host.call('DEL', pod, config)
})
