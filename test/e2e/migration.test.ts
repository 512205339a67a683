/** From the reference plugins to Berth and back, as docs/migration.md says, with pods that live on meanwhile. */
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../house/sources.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { binaries, Host, type Pod } from './host.ts'

const text = readFileSync(join(root, 'docs', 'migration.md'), 'utf8')

/** The document's only block of commands that has these words. */
function blockWith(words: string): string {
  const blocks = [...text.matchAll(/^ *```sh\n(.*?)^ *```$/gms)].map(([, block = '']) => block)
  const found = blocks.filter((block) => block.includes(words))
  expect([words, found.length]).toEqual([words, 1])
  return found[0] ?? ''
}

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

  /** Runs the document's commands for this network and these folders, where `kubectl` sees one pod, which is this machine. */
  follow(block: string): void {
    const folder = join(this.folder, 'path')
    mkdirSync(folder, { recursive: true })
    const kubectl =
      '#!/bin/sh\ncase "$*" in *" get pods "*) echo pod/berth-1 ;; *) while [ "$1" != -- ]; do shift; done; shift; exec "$@" ;; esac\n'
    writeFileSync(join(folder, 'kubectl'), kubectl, { mode: 0o755 })
    const commands = block
      .replaceAll('/var/lib/cni/networks/N', join(this.networks, 'net-a'))
      .replaceAll('--network N', '--network net-a')
      .replaceAll('172.17.0.0/24', `10.20.0.0/24 --ipam-data-dir ${this.networks}`)
    const env = { PATH: `${folder}:${binaries}:${process.env.PATH}`, BERTH_DATA_DIR: this.host.dataDir }
    execFileSync('sh', ['-ec', commands], { env, encoding: 'utf8' })
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
  site.follow(blockWith('import host-local'))
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
  // Of before us, and imported: it goes back as well.
  const first = host.pod('first')
  expect(site.call('ADD', first)).toBe('10.20.0.10/24')
  site.follow(blockWith('import host-local'))
  rmSync(site.networks, { recursive: true })
  site.install('--alias', 'macvlan', '--alias', 'host-local', '--force')
  const old = host.pod('before')
  expect(site.call('ADD', old)).toBe('10.20.0.11/24')
  const folder = join(site.networks, 'net-a')
  site.follow(blockWith('leases list'))
  site.install('--uninstall')
  expect(readFileSync(join(site.binDir, 'macvlan')).equals(readFileSync('/usr/lib/cni/macvlan'))).toBe(true)
  const fresh = host.pod('after')
  expect(site.call('ADD', fresh)).toBe('10.20.0.12/24')
  for (const pod of [first, old, fresh]) site.call('DEL', pod)
  expect([host.linksOf(old.name), readdirSync(folder).filter((name) => /^10\./.test(name))]).toEqual([[], []])
  // Our ledger is none of theirs: what it has of them is released by hand, or by a sweep.
  for (const name of ['first', 'before'])
    expect(site.berth('leases', 'release', `net-a/${name}/net1`, '--force').status).toBe(0)
})
