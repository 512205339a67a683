/** The packaged `berth`, on leases that the packaged plugins and Debian's own host-local have made. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../shared/temporary.ts'
import { type Answer, binaries, Host } from './host.ts'

const asIpam = { plugin: 'berth-ipam' }
const importLeases = 50_000
/** Not a measurement: what takes longer is broken. */
const importMaxMs = 60_000

function berth(dataDir: string, args: readonly string[], input = ''): Answer {
  const env = { PATH: process.env.PATH, BERTH_DATA_DIR: dataDir }
  const done = spawnSync(join(binaries, 'berth'), args, { encoding: 'utf8', env, input, maxBuffer: 1 << 28 })
  return { exitCode: done.status, stdout: done.stdout, stderr: done.stderr }
}

/** A config of two address families for whoever is the main plugin. */
const config = (ipam: object = {}): Record<string, unknown> => ({
  cniVersion: '1.1.0',
  name: 'old-net',
  type: 'bridge',
  ipam: { type: 'berth-ipam', ranges: [[{ subnet: '10.70.0.0/24' }], [{ subnet: 'fd00:70::/64' }]], ...ipam },
})

/** Debian's knows no 1.1.0. */
const hostLocal = (dataDir: string) => ({ ...config({ type: 'host-local', dataDir }), cniVersion: '1.0.0' })
const wishFor = (dataDir: string): string[] => {
  const ranges = ['--range', '10.70.0.0/24', '--range', 'fd00:70::/64']
  return ['import', 'host-local', join(dataDir, 'old-net'), '--network', 'old-net', ...ranges]
}
const debians = { plugin: '/usr/lib/cni/host-local' }

test('berth leases list, show, check and release tell and free what a plugin has attached', () => {
  using host = new Host()
  const pod = host.pod()
  const environment = { CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAME=web-0;K8S_POD_NAMESPACE=shop' }
  host.add(pod, host.config(), { environment })
  const run = (...args: string[]): Answer => berth(host.dataDir, args)

  expect(run('leases', 'list').stdout).toMatch(
    /^ADDRESS .*\n10\.20\.0\.10\/24 +net-a +ctr-0 +net1 +shop\/web-0 .* held\n$/,
  )
  expect(run('leases', 'check')).toEqual({
    exitCode: 0,
    stdout: 'the store is consistent: 1 attachment, 1 address, 0 kept\n',
    stderr: '',
  })
  const shown = run('leases', 'show', '10.20.0.10').stdout
  expect(shown).toContain(`namespace   alive: it is at "${pod.netns}"\n`)
  expect(JSON.parse(run('leases', 'show', 'shop/web-0', '--json').stdout)[0].attachment.ifName).toBe('net1')

  const refused = run('leases', 'release', '10.20.0.10')
  expect(refused).toMatchObject({ exitCode: 1, stdout: '' })
  expect(refused.stderr).toContain(`of pod "shop/web-0": its network namespace is alive, it is at "${pod.netns}"`)
  expect(run('leases', 'sweep', '--grace', '0').stdout).toBe('nothing to sweep\n')
  expect(run('leases', 'release', 'net-a/ctr-0/net1', '--force').stdout).toBe(
    'released 10.20.0.10/24 of net-a/ctr-0/net1 (pod shop/web-0)\n',
  )
  spawnSync('ip', ['-n', pod.name, 'link', 'del', 'net1'])
})

test('berth leases sweep waits, then releases what a pod without DEL has left; a dry run only says so', () => {
  using host = new Host()
  const pod = host.pod()
  host.add(pod, host.config())
  spawnSync('ip', ['netns', 'del', pod.name])
  const sweep = (...more: string[]): string => berth(host.dataDir, ['leases', 'sweep', '--grace', '0', ...more]).stdout
  expect(sweep('--dry-run')).toMatch(/^WHAT .*\nwaiting +10\.20\.0\.10\/24 (.|\n)*nothing was changed/)
  expect(sweep('--dry-run')).toContain('waiting')
  expect(sweep()).toContain('waiting')
  expect(JSON.parse(sweep('--json')).released).toMatchObject([{ containerId: pod.containerId }])
})

test('berth leases check names the file when a byte of it has changed', () => {
  using host = new Host()
  const pod = host.pod()
  host.add(pod, host.config())
  const path = join(host.dataDir, 'leases', 'net-a,ctr-0,net1')
  const bytes = readFileSync(path)
  bytes[60] = (bytes[60] ?? 0) ^ 4
  writeFileSync(path, bytes)
  const { exitCode, stdout } = berth(host.dataDir, ['leases', 'check'])
  expect(exitCode).toBe(1)
  expect(stdout).toMatch(/^NAME +KIND +WHAT\n10\.20\.0\.10 +damaged .*\nnet-a,ctr-0,net1 +damaged /)
  expect(host.call('DEL', pod, host.config())).toMatchObject({ exitCode: 0 })
  expect(berth(host.dataDir, ['leases', 'check']).exitCode).toBe(0)
  spawnSync('ip', ['-n', pod.name, 'link', 'del', 'net1'])
})

test('leases that Debian’s host-local wrote are held here after an import, and released by their DEL', () => {
  using host = new Host()
  const old = temporaryDirectory()
  const pods = ['ctr-a', 'ctr-b', 'ctr-c'].map((containerId) => host.pod(containerId))
  const given = pods.map((pod) => host.add(pod, hostLocal(old), debians).ips?.map(({ address }) => address))
  const folder = join(old, 'old-net')
  writeFileSync(join(folder, '10.70.0.99'), '')
  const wish = wishFor(old)

  expect(berth(host.dataDir, [...wish, '--dry-run']).stdout).toContain('would import 3 attachments with 6 addresses')
  expect(host.leaseFiles()).toEqual([])
  const first = berth(host.dataDir, wish)
  expect(first).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('skipped 10.70.0.99: it is empty') })
  expect(first.stdout).toContain('imported 3 attachments with 6 addresses into the space "old-net"')
  const files = host.leaseFiles()
  expect(berth(host.dataDir, wish).stdout).toContain('imported 0 attachments with 0 addresses')
  expect(host.leaseFiles()).toEqual(files)
  const { attachments } = JSON.parse(berth(host.dataDir, ['leases', 'list', '--json']).stdout)
  expect(
    attachments.map(({ leases }: { leases: { address: string }[] }) => leases.map((one) => one.address)).sort(),
  ).toEqual(given)
  expect(berth(host.dataDir, ['leases', 'check']).exitCode).toBe(0)

  const fresh = host.pod('ctr-new')
  const taken = given.flat()
  for (const { address } of host.add(fresh, config(), asIpam).ips ?? []) expect(taken).not.toContain(address)
  // A sweep knows nothing of their namespaces.
  for (let time = 0; time < 2; time++) berth(host.dataDir, ['leases', 'sweep', '--grace', '0'])
  for (const pod of [...pods, fresh]) expect(host.call('DEL', pod, config(), asIpam).exitCode).toBe(0)
  expect(berth(host.dataDir, ['leases', 'list']).stdout).toBe('no leases\n')
})

test('a GC releases imported leases when it names other containers only, and keeps them when it names none', () => {
  using host = new Host()
  const old = temporaryDirectory()
  const pods = ['ctr-a', 'ctr-b'].map((containerId) => host.pod(containerId))
  for (const pod of pods) host.add(pod, hostLocal(old), debians)
  berth(host.dataDir, wishFor(old))
  const collect = (valid: object[]): string[] => {
    const gc = { ...config(), 'cni.dev/valid-attachments': valid }
    expect(host.call('GC', pods[0] ?? host.pod(), gc, asIpam)).toMatchObject({ exitCode: 0 })
    return host.leaseFiles().filter((name) => name.includes(','))
  }
  expect(collect([])).toHaveLength(2)
  // Another interface of the same container is enough: the container lives.
  expect(collect([{ containerID: 'ctr-a', ifname: 'eth0' }])).toEqual(['old-net,ctr-a,net1'])
  berth(host.dataDir, ['leases', 'release', '--imported', '--network', 'old-net', '--yes'])
})

test('an ADD of an imported attachment gets its own addresses as IPAM, and is refused where it would make a second link', () => {
  using host = new Host()
  const old = temporaryDirectory()
  const pod = host.pod('ctr-a')
  const { ips } = host.add(pod, hostLocal(old), debians)
  berth(host.dataDir, wishFor(old))
  expect(host.add(pod, config(), asIpam).ips?.map(({ address }) => address)).toEqual(ips?.map(({ address }) => address))
  const macvlan = { ...config(), type: 'berth-macvlan', master: host.nic }
  const refused = host.call('ADD', pod, macvlan)
  expect(JSON.parse(refused.stdout)).toMatchObject({
    code: 103,
    details: expect.stringContaining('imported from host-local'),
  })
  expect(host.call('DEL', pod, macvlan).exitCode).toBe(0)
})

test('DEL removes the macvlan that the reference plugin made when its lease was imported and prevResult describes it', () => {
  using host = new Host()
  const old = temporaryDirectory()
  const pod = host.pod('ctr-a')
  const macvlan = { ...hostLocal(old), type: 'macvlan', master: host.nic }
  const reference = { plugin: '/usr/lib/cni/macvlan', environment: { CNI_PATH: '/usr/lib/cni' } }
  const prevResult = host.add(pod, macvlan, reference)
  expect(berth(host.dataDir, wishFor(old)).exitCode).toBe(0)
  const berths = {
    ...config(),
    type: 'berth-macvlan',
    master: host.nic,
    prevResult: { ...prevResult, cniVersion: '1.1.0' },
  }
  expect(host.linksOf(pod.name)).toEqual(['net1'])
  expect(host.call('DEL', pod, berths)).toMatchObject({ exitCode: 0, stdout: '' })
  expect(host.linksOf(pod.name)).toEqual([])
})

test('a dump of whereabouts is imported from standard input, as YAML and again as JSON', () => {
  const dataDir = temporaryDirectory()
  const dump = readFileSync(join(import.meta.dirname, '..', 'fixtures', 'ippool.yaml'), 'utf8')
  const wish = [
    'import',
    'whereabouts',
    '--network',
    'internalapi',
    '--pool',
    '172.17.0.0-24',
    '--pool',
    'fd00-17---64',
  ]
  expect(berth(dataDir, wish, dump)).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining('imported 2 attachments with 3 addresses into the space "default"'),
  })
  expect(JSON.parse(berth(dataDir, ['leases', 'show', 'openstack/glance-0', '--json']).stdout)[0]).toMatchObject({
    state: 'held',
    namespace: { state: 'unknown' },
    attachment: { imported: 'whereabouts', leases: [{ address: '172.17.0.30/24' }, { address: 'fd00:17::1e/64' }] },
  })
  expect(berth(dataDir, ['leases', 'release', '172.17.0.31']).exitCode).toBe(0)
  expect(berth(dataDir, wish, dump).stdout).toContain('imported 1 attachment with 1 address')
})

test('berth answers 2 and how it is used when the command line cannot be read', () => {
  for (const args of [[], ['frobnicate'], ['leases', 'list', '--colour'], ['import', 'whereabouts']]) {
    const { exitCode, stdout, stderr } = berth('/nowhere', args)
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
    expect(stderr).toContain('Usage: berth ')
  }
})

test(`an import of ${importLeases} leases ends, is the same twice, and says how far it is`, () => {
  const dataDir = temporaryDirectory()
  const folder = join(temporaryDirectory(), 'big')
  mkdirSync(folder)
  for (let index = 0; index < importLeases; index++) {
    writeFileSync(join(folder, `10.80.${index >> 8}.${index & 255}`), `ctr-${index}\r\neth0`)
  }
  const wish = ['import', 'host-local', folder, '--network', 'big', '--range', '10.80.0.0/16']
  const run = (args: readonly string[]): Answer => {
    const start = performance.now()
    const answer = berth(dataDir, args)
    const ms = performance.now() - start
    process.stdout.write(`berth ${args[0]} ${args[1]} of ${importLeases}: ${(ms / 1000).toFixed(1)} s\n`)
    expect(ms).toBeLessThan(importMaxMs)
    return answer
  }
  const first = run([...wish, '--progress'])
  expect(first.stdout).toContain(`imported ${importLeases} attachments with ${importLeases} addresses`)
  const lines = first.stderr.trim().split('\n')
  expect(lines.at(-1)).toBe(`${importLeases} of ${importLeases} attachments`)
  expect(lines.length).toBeLessThan(importMaxMs / 100)
  expect(run(wish)).toMatchObject({ stdout: expect.stringContaining(`${importLeases} were there already`), stderr: '' })
  expect(run(['leases', 'check']).stdout).toContain(`consistent: ${importLeases} attachments`)
})
