/** From the reference plugins to Berth and back, as docs/migration.md says, with pods that live on meanwhile. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../shared/temporary.ts'
import { binaries, Host, type Pod } from './host.ts'

/** A node whose folder of plugins has the reference ones, and what is done on it. */
class Site {
  readonly folder = temporaryDirectory()
  readonly binDir = join(this.folder, 'bin')
  readonly networks = join(this.folder, 'networks')
  readonly host: Host
  readonly config: Record<string, unknown>
  readonly #results = new Map<Pod, object>()

  constructor(host: Host) {
    this.host = host
    mkdirSync(this.binDir)
    for (const name of ['macvlan', 'host-local']) copyFileSync(`/usr/lib/cni/${name}`, join(this.binDir, name))
    const ipam = { type: 'host-local', dataDir: this.networks, subnet: '10.20.0.0/24', rangeStart: '10.20.0.10' }
    this.config = { cniVersion: '1.0.0', name: 'net-a', type: 'macvlan', master: host.nic, ipam }
  }

  berth(...args: string[]) {
    const env = { PATH: process.env.PATH, BERTH_DATA_DIR: this.host.dataDir }
    return spawnSync(join(binaries, 'berth'), args, { env, encoding: 'utf8' })
  }

  install(...more: string[]): void {
    const places = ['--cni-bin-dir', this.binDir, '--cni-conf-dir', join(this.folder, 'conf')]
    const done = this.berth('install', '--from', binaries, ...places, ...more)
    expect([done.status, done.stderr]).toEqual([0, ''])
  }

  /** Calls whatever is there as "macvlan", with the result of the ADD at a DEL, as runtimes keep it. */
  call(verb: 'ADD' | 'DEL', pod: Pod): string {
    const options = { plugin: join(this.binDir, 'macvlan'), environment: { CNI_PATH: this.binDir } }
    if (verb === 'ADD') {
      const result = this.host.add(pod, this.config, options)
      this.#results.set(pod, result)
      return result.ips?.[0]?.address ?? ''
    }
    const config = { ...this.config, prevResult: this.#results.get(pod) }
    expect(this.host.call('DEL', pod, config, options).stdout).toBe('')
    return ''
  }
}

test('pods that host-local gave addresses to live on, keep them, and are detached by us', () => {
  using host = new Host()
  const site = new Site(host)
  const old = host.pod('before')
  expect(site.call('ADD', old)).toBe('10.20.0.10/24')
  const args = ['--network', 'net-a', '--range', '10.20.0.0/24', '--ipam-data-dir', site.networks]
  const folder = join(site.networks, 'net-a')
  expect(site.berth('import', 'host-local', folder, ...args).stderr).toBe('')
  site.install('--alias', 'macvlan', '--alias', 'host-local', '--force')
  const fresh = host.pod('after')
  expect(site.call('ADD', fresh)).toBe('10.20.0.11/24')
  site.call('DEL', old)
  expect(host.linksOf(old.name)).toEqual([])
  expect(host.leaseFiles().filter((name) => name.includes('before') || name.startsWith('10.20.0.10'))).toEqual([])
  site.call('DEL', fresh)
})

test('pods that we gave addresses to live on, keep them, and are detached by the reference plugins', () => {
  using host = new Host()
  const site = new Site(host)
  site.install('--alias', 'macvlan', '--alias', 'host-local', '--force')
  const old = host.pod('before')
  expect(site.call('ADD', old)).toBe('10.20.0.10/24')
  // What docs/migration.md does with jq.
  const folder = join(site.networks, 'net-a')
  mkdirSync(folder, { recursive: true })
  const { attachments } = JSON.parse(site.berth('leases', 'list', '--network', 'net-a', '--json').stdout)
  for (const { leases, containerId, ifName } of attachments)
    for (const { address } of leases) writeFileSync(join(folder, address.split('/')[0]), `${containerId}\r\n${ifName}`)
  site.install('--uninstall')
  expect(readFileSync(join(site.binDir, 'macvlan')).equals(readFileSync('/usr/lib/cni/macvlan'))).toBe(true)
  const fresh = host.pod('after')
  expect(site.call('ADD', fresh)).toBe('10.20.0.11/24')
  for (const pod of [old, fresh]) site.call('DEL', pod)
  expect([host.linksOf(old.name), readdirSync(folder).filter((name) => /^10\./.test(name))]).toEqual([[], []])
  // Our ledger is none of theirs: what it has of them is released by hand, or by a sweep.
  expect(site.berth('leases', 'release', 'net-a/before/net1', '--force').status).toBe(0)
})
