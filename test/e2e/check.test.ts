import { expect, test } from 'vitest'
import { Host, ip, type Pod } from './host.ts'

const config = (host: Host): Record<string, unknown> =>
  host.config({
    mtu: 1400,
    ipam: { type: 'berth-ipam', range: '10.40.0.0/24', routes: [{ dst: '10.41.0.0/24', gw: '10.40.0.1' }] },
  })

test('CHECK succeeds in silence when everything is as ADD left it', () => {
  using host = new Host()
  const pod = host.pod()
  const prevResult = host.add(pod, config(host))
  expect(host.call('CHECK', pod, { ...config(host), prevResult })).toEqual({ exitCode: 0, stdout: '', stderr: '' })
  host.call('DEL', pod, config(host))
})

const changes: [string, (host: Host, pod: Pod) => void, string][] = [
  ['the MTU is another', (_, pod) => ip('-n', pod.name, 'link', 'set', 'net1', 'mtu', '1300'), 'MTU of "net1" is 1300'],
  [
    'the MAC is another',
    (_, pod) => ip('-n', pod.name, 'link', 'set', 'net1', 'address', '02:00:00:00:00:99'),
    '02:00:00:00:00:99',
  ],
  ['the link is down', (_, pod) => ip('-n', pod.name, 'link', 'set', 'net1', 'down'), 'State of "net1" is down'],
  ['the address is gone', (_, pod) => ip('-n', pod.name, 'addr', 'flush', 'dev', 'net1'), 'Address "10.40.0.2/24"'],
  ['the route is gone', (_, pod) => ip('-n', pod.name, 'route', 'del', '10.41.0.0/24'), 'Route to "10.41.0.0/24"'],
  ['the link is gone', (_, pod) => ip('-n', pod.name, 'link', 'del', 'net1'), 'Link "net1" is absent'],
]

test.each(changes)('CHECK names what differs when %s', (_, change, named) => {
  using host = new Host()
  const pod = host.pod()
  const prevResult = host.add(pod, config(host))
  change(host, pod)
  const answer = host.call('CHECK', pod, { ...config(host), prevResult })
  expect(answer.exitCode).toBe(1)
  expect(JSON.parse(answer.stdout)).toMatchObject({ code: 105, msg: expect.stringContaining(named) })
  host.call('DEL', pod, config(host))
})

test('CHECK and DEL go by the recorded link when something renamed it and put another in its place', () => {
  using host = new Host()
  const pod = host.pod()
  const plain = host.config()
  const prevResult = host.add(pod, plain)
  const link = (...args: string[]): string => ip('-n', pod.name, 'link', ...args)
  link('set', 'net1', 'down')
  link('set', 'net1', 'name', 'net1-nic', 'up')
  link('add', 'net1', 'type', 'veth', 'peer', 'name', 'inner')
  expect(host.call('CHECK', pod, { ...plain, prevResult })).toEqual({ exitCode: 0, stdout: '', stderr: '' })
  link('set', 'net1-nic', 'address', '02:00:00:00:00:99')
  const { stdout } = host.call('CHECK', pod, { ...plain, prevResult })
  expect(JSON.parse(stdout).msg).toContain('MAC of "net1-nic" is 02:00:00:00:00:99')
  expect(host.call('DEL', pod, { ...plain, prevResult })).toEqual({ exitCode: 0, stdout: '', stderr: '' })
  expect(host.linksOf(pod.name).sort()).toEqual(['inner', 'net1'])
  link('del', 'net1')
})

test('CHECK names mode and master when the config asks for others than the link has', () => {
  using host = new Host()
  const pod = host.pod()
  const prevResult = host.add(pod, config(host))
  const check = (more: object): string =>
    JSON.parse(host.call('CHECK', pod, { ...config(host), ...more, prevResult }).stdout).msg
  expect(check({ mode: 'vepa' })).toContain('Mode of "net1" is bridge, and should be vepa')
  expect(check({ master: 'switch' })).toContain('should be "switch"')
  host.call('DEL', pod, config(host))
})

test('CHECK fails when the lease is gone or prevResult is missing', () => {
  using host = new Host()
  const pod = host.pod()
  const prevResult = host.add(pod, config(host))
  const missing = host.call('CHECK', pod, config(host))
  expect(JSON.parse(missing.stdout)).toMatchObject({ code: 7, msg: 'required prevResult missing' })
  host.call('DEL', pod, { ...config(host), type: 'berth-ipam' }, { plugin: 'berth-ipam' })
  const answer = host.call('CHECK', pod, { ...config(host), prevResult })
  expect(JSON.parse(answer.stdout)).toMatchObject({
    code: 105,
    msg: expect.stringContaining(`"${pod.containerId}/net1"`),
  })
  ip('-n', pod.name, 'link', 'del', 'net1')
})

test('GC releases what the runtime forgot and keeps attachments whose namespace is alive', () => {
  using host = new Host()
  const [alive, dead] = [host.pod(), host.pod()]
  for (const pod of [alive, dead]) host.add(pod, host.config())
  ip('netns', 'del', dead.name)
  const answer = host.call('GC', alive, { ...host.config(), 'cni.dev/valid-attachments': [] })
  expect(answer).toMatchObject({ exitCode: 0, stdout: '' })
  expect(answer.stderr).toContain(`keeps "${alive.containerId}/net1"`)
  expect(host.leaseFiles()).toEqual(['10.20.0.10', `net-a,${alive.containerId},net1`])
  host.call('DEL', alive, host.config())
})

test('STATUS says what an ADD would fail of', () => {
  using host = new Host()
  const pod = host.pod()
  expect(host.call('STATUS', pod, host.config())).toEqual({ exitCode: 0, stdout: '', stderr: '' })
  const noMaster = host.call('STATUS', pod, host.config({ master: 'absent' }))
  expect(JSON.parse(noMaster.stdout)).toMatchObject({ code: 51, msg: expect.stringContaining('"absent"') })
  ip('-n', host.node, 'link', 'set', host.nic, 'down')
  expect(JSON.parse(host.call('STATUS', pod, host.config()).stdout)).toMatchObject({
    code: 51,
    msg: `Cannot use master "${host.nic}": it is down`,
  })
  ip('-n', host.node, 'link', 'set', host.nic, 'up')
  const noDirectory = host.call('STATUS', pod, host.config(), { environment: { BERTH_DATA_DIR: '/proc/berth' } })
  expect(JSON.parse(noDirectory.stdout)).toMatchObject({ code: 50, msg: expect.stringContaining('/proc/berth') })
})
