/** Which address comes next: rest, stickiness, exhaustion, and addresses that strangers use. */
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Attached, Host, ip, type Pod } from './host.ts'

const small = { type: 'berth-ipam', range: '10.40.0.0/29' }
const address = ({ ips }: Attached): string => ips?.[0]?.address ?? ''

test('a freed address rests until nothing else is free, the one freed first comes first', () => {
  using host = new Host()
  const config = host.config({ ipam: small })
  const pods = Array.from({ length: 4 }, () => host.pod())
  expect(pods.map((pod) => address(host.add(pod, config)))).toEqual([1, 2, 3, 4].map((last) => `10.40.0.${last}/29`))
  for (const index of [2, 0]) host.call('DEL', pods[index] as Pod, config)
  const next = Array.from({ length: 4 }, () => host.pod())
  expect(next.map((pod) => address(host.add(pod, config)))).toEqual([5, 6, 3, 1].map((last) => `10.40.0.${last}/29`))
  const one = host.pod()
  expect(JSON.parse(host.call('ADD', one, config).stdout)).toMatchObject({
    code: 100,
    msg: expect.stringContaining('"10.40.0.0/29": none of 10.40.0.1-10.40.0.6 is free'),
  })
  expect(JSON.parse(host.call('STATUS', one, config).stdout)).toMatchObject({ code: 50 })
  for (const pod of [...pods, ...next]) host.call('DEL', pod, config)
  expect(host.call('STATUS', one, config)).toMatchObject({ exitCode: 0 })
})

test('the same attachment gets the address back that it gave up', () => {
  using host = new Host()
  const config = host.config({ ipam: small })
  const [pod, other] = [host.pod(), host.pod()]
  const first = address(host.add(pod, config))
  host.call('DEL', pod, config)
  expect(address(host.add(other, config))).not.toBe(first)
  expect(address(host.add(pod, config))).toBe(first)
  for (const one of [pod, other]) host.call('DEL', one, config)
})

const sticky = { ...small, sticky: true }
const podArgs = (name: string) => ({
  environment: { CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=${name};K8S_POD_UID=u` },
})

test('a pod gets its addresses back under another container when the network is sticky, and nobody else gets them', () => {
  using host = new Host()
  const config = host.config({ ipam: { ...sticky, range: '10.40.0.0/30' } })
  const [before, stranger, after] = [host.pod(), host.pod(), host.pod()]
  const web = address(host.add(before, config, podArgs('web-0')))
  expect(host.call('DEL', before, config)).toMatchObject({ exitCode: 0, stdout: '' })
  expect(host.leaseFiles()).toContain('~net-a,shop,web-0,net1')
  const other = address(host.add(stranger, config, podArgs('db-0')))
  expect(other).not.toBe(web)
  const full = host.call('ADD', host.pod(), config, podArgs('db-1'))
  expect(JSON.parse(full.stdout)).toMatchObject({ code: 100 })
  expect(address(host.add(after, config, podArgs('web-0')))).toBe(web)
  expect(host.leaseFiles()).not.toContain('~net-a,shop,web-0,net1')
  for (const one of [stranger, after]) host.call('DEL', one, config)
  expect(readdirSync(join(host.dataDir, 'leases')).filter((name) => name.startsWith('~'))).toHaveLength(2)
  rmSync(join(host.dataDir, 'leases'), { recursive: true })
})

test('ADD passes over addresses that strangers on the wire use when conflictCheck is on, in both families', () => {
  using host = new Host()
  const pod = host.pod()
  for (const taken of ['10.41.0.1/24', 'fd00:41::1/64']) {
    ip('-n', host.node, 'addr', 'add', taken, 'dev', 'switch', ...(taken.includes(':') ? ['nodad'] : []))
  }
  const mac = JSON.parse(ip('-json', '-n', host.node, 'link', 'show', 'switch'))[0].address
  const ipam = {
    type: 'berth-ipam',
    ipRanges: [{ range: '10.41.0.0/24' }, { range: 'fd00:41::/64' }],
    conflictCheck: true,
  }
  const config = host.config({ ipam })
  const done = host.call('ADD', pod, config)
  expect(done.exitCode, done.stdout).toBe(0)
  expect(done.stderr).toContain(`"10.41.0.1" is in use by "${mac}"`)
  const result: Attached = JSON.parse(done.stdout)
  expect(result.ips?.map((one) => one.address)).toEqual(['10.41.0.2/24', 'fd00:41::2/64'])
  const kept = readdirSync(join(host.dataDir, 'leases')).filter((name) => name.startsWith('~'))
  expect(kept).toHaveLength(2)
  expect(readFileSync(join(host.dataDir, 'leases', '10.41.0.1'), 'utf8')).toContain(mac)
  const asked = host.config({
    ipam: { ...ipam, ipRanges: [{ range: '10.42.0.0/24' }] },
    runtimeConfig: { ips: ['10.42.0.9'] },
  })
  ip('-n', host.node, 'addr', 'add', '10.42.0.9/24', 'dev', 'switch')
  const second = host.pod()
  expect(JSON.parse(host.call('ADD', second, asked).stdout)).toMatchObject({
    code: 101,
    msg: `Cannot claim "10.42.0.9": "${mac}" answers for it on the wire`,
  })
  expect(host.linksOf(second.name)).toEqual([])
  expect(host.call('DEL', pod, config)).toMatchObject({ exitCode: 0 })
  const left = readdirSync(join(host.dataDir, 'leases'))
  expect(left.filter((name) => name.includes(','))).toEqual(left.filter((name) => name.startsWith('~')))
  rmSync(join(host.dataDir, 'leases'), { recursive: true })
})
