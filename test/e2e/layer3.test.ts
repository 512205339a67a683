/** How a link with addresses behaves: duplicate detection, announcements, router advertisements, a MAC made of the address. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Host, ip, type Pod } from './host.ts'

const sysctl = (pod: Pod, name: string): string => ip('netns', 'exec', pod.name, 'cat', `/proc/sys/net/${name}`).trim()

const ipv6 = { type: 'berth-ipam', range: 'fd00:60::/64', range_start: 'fd00:60::10' }
const dual = { type: 'berth-ipam', ipRanges: [{ range: '10.60.0.0/24', range_start: '10.60.0.10' }, ipv6] }

/** What the kernel says of the pod's global IPv6 addresses, flags included. */
const globals = (pod: Pod): string => ip('-n', pod.name, '-6', 'addr', 'show', 'dev', 'net1', 'scope', 'global')

test.each([
  ['off', (shown: string) => shown.includes('nodad') && !shown.includes('tentative')],
  ['optimistic', (shown: string) => shown.includes('optimistic')],
  ['wait', (shown: string) => !shown.includes('tentative') && !shown.includes('nodad')],
])('ADD leaves an IPv6 address usable when dad is %s', (dad, usable) => {
  using host = new Host()
  const pod = host.pod()
  const config = host.config({ ipam: ipv6, dad })
  host.add(pod, config)
  expect(globals(pod)).toSatisfy(usable)
  host.call('DEL', pod, config)
})

test('ADD fails and names the address when dad is "wait" and somebody on the wire has it', () => {
  using host = new Host()
  const pod = host.pod()
  ip('-n', host.node, 'addr', 'add', 'fd00:60::10/64', 'dev', 'switch', 'nodad')
  const answer = host.call('ADD', pod, host.config({ ipam: ipv6, dad: 'wait' }))
  expect(answer.exitCode).toBe(1)
  expect(JSON.parse(answer.stdout).msg).toMatch(/^Cannot use address "fd00:60::10\/64" on "net1": duplicate address/)
})

test.each([
  [true, true],
  [false, false],
])('neighbours forget an old MAC: announce %j, healed %j', async (announce, healed) => {
  using host = new Host()
  const pod = host.pod()
  const stale = '02:00:00:00:00:99'
  const peer = ['-n', host.node]
  ip(...peer, 'addr', 'add', '10.60.0.1/24', 'dev', 'switch')
  ip(...peer, 'addr', 'add', 'fd00:60::1/64', 'dev', 'switch', 'nodad')
  const addresses = ['10.60.0.10', 'fd00:60::10']
  for (const address of addresses)
    ip(...peer, 'neigh', 'add', address, 'lladdr', stale, 'dev', 'switch', 'nud', 'stale')
  const config = host.config({ ipam: dual, announce })
  const { interfaces = [] } = host.add(pod, config)
  // The announcement is on its way when ADD answers.
  await pause(300)
  for (const address of addresses) {
    const [expected] = healed ? [interfaces[0]?.mac] : [stale]
    expect(ip(...peer, 'neigh', 'show', address)).toContain(`lladdr ${expected}`)
  }
  host.call('DEL', pod, config)
})

test.each([
  [undefined, dual, '0'],
  [true, dual, '1'],
  [false, dual, '0'],
  [undefined, undefined, '1'],
  [false, undefined, '0'],
])('accept_ra is as asked for: acceptRA %j, ipam %j, sysctl %s', (acceptRA, ipam, expected) => {
  using host = new Host()
  const pod = host.pod()
  const config = host.config({ ipam, acceptRA })
  host.add(pod, config)
  expect(sysctl(pod, 'ipv6/conf/net1/accept_ra')).toBe(expected)
  host.call('DEL', pod, config)
})

test.each([
  ['10.60.0.10', { type: 'berth-ipam', range: '10.60.0.0/24', range_start: '10.60.0.10' }, '0a:58:0a:3c:00:0a'],
  ['fd00:60::10', ipv6, '0a:59:00:00:00:10'],
  ['both', dual, '0a:58:0a:3c:00:0a'],
])('the MAC is made of the address when mac is "fromIP" and the address is %s', (_, ipam, mac) => {
  using host = new Host()
  const pod = host.pod()
  const config = host.config({ ipam, mac: 'fromIP' })
  const prevResult = host.add(pod, config)
  expect(prevResult.interfaces).toMatchObject([{ mac }])
  expect(JSON.parse(ip('-json', '-n', pod.name, 'link', 'show', 'net1'))).toMatchObject([{ address: mac }])
  expect(host.call('CHECK', pod, { ...config, prevResult })).toMatchObject({ exitCode: 0 })
  host.call('DEL', pod, config)
})

test('the MAC follows the address when a stranger has the first one', () => {
  using host = new Host()
  const pod = host.pod()
  ip('-n', host.node, 'addr', 'add', '10.60.0.10/24', 'dev', 'switch')
  const ipam = { type: 'berth-ipam', range: '10.60.0.0/24', range_start: '10.60.0.10', conflictCheck: true }
  const config = host.config({ ipam, mac: 'fromIP' })
  const { interfaces, ips } = host.add(pod, config)
  expect(ips).toMatchObject([{ address: '10.60.0.11/24' }])
  expect(interfaces).toMatchObject([{ mac: '0a:58:0a:3c:00:0b' }])
  expect(JSON.parse(ip('-json', '-n', pod.name, 'link', 'show', 'net1'))).toMatchObject([
    { address: '0a:58:0a:3c:00:0b' },
  ])
  host.call('DEL', pod, config)
  // What the stranger has stays out of use for a while.
  rmSync(join(host.dataDir, 'leases'), { recursive: true })
})

test('ADD refuses mac "fromIP" when there is no ipam, and in mode passthru', () => {
  using host = new Host()
  const pod = host.pod()
  for (const keys of [{ ipam: undefined }, { mode: 'passthru' }]) {
    const answer = host.call('ADD', pod, host.config({ mac: 'fromIP', ...keys }))
    expect(JSON.parse(answer.stdout)).toMatchObject({ code: 7, msg: expect.stringContaining('"fromIP"') })
  }
})

test('the result has the dns that the runtime asks for when it does', () => {
  using host = new Host()
  const pod = host.pod()
  const runtimeConfig = { dns: { servers: ['10.60.0.2'], searches: ['a.example'], options: ['ndots:2'] } }
  const config = host.config({ dns: { nameservers: ['10.60.0.3'] }, runtimeConfig })
  const result = host.add(pod, config)
  expect(result.dns).toEqual({ nameservers: ['10.60.0.2'], search: ['a.example'], options: ['ndots:2'] })
  host.call('DEL', pod, config)
})
