/**
 * NetworkAttachmentDefinitions of users of macvlan and whereabouts, called as Multus calls them: with the two types changed, and
 * unchanged where Berth is installed under those names.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { root } from '../house/sources.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { binaries, Host, ip, type Pod } from './host.ts'

const fixture = (name: string): string => readFileSync(join(root, 'test', 'fixtures', name), 'utf8')
const configOf = (name: string): string => parse(fixture(name)).spec.config

/** A node with one VLAN link of the config as its master, which is gone at the end. */
class VlanHost extends Host {
  readonly master: string

  constructor(master: string) {
    super()
    this.master = master
    ip('-n', this.node, 'link', 'set', this.nic, 'down')
    ip('-n', this.node, 'link', 'set', this.nic, 'name', master, 'up')
  }

  override [Symbol.dispose](): void {
    ip('-n', this.node, 'link', 'set', this.master, 'down')
    ip('-n', this.node, 'link', 'set', this.master, 'name', this.nic)
    super[Symbol.dispose]()
  }
}

let binDir: string
beforeEach(() => {
  binDir = join(temporaryDirectory(), 'bin')
})

function install(...aliases: string[]): void {
  const places = ['--from', binaries, '--cni-bin-dir', binDir, '--cni-conf-dir', join(binDir, '..', 'conf')]
  const wished = aliases.flatMap((alias) => ['--alias', alias])
  execFileSync(join(binaries, 'berth'), ['install', ...places, ...wished])
}

/** What Multus adds to the environment; `ips` are those of the annotation. */
const multus = (ips: readonly string[] = []): Record<string, string> => ({
  CNI_PATH: binDir,
  CNI_ARGS: [
    'IgnoreUnknown=true;K8S_POD_NAMESPACE=openstack;K8S_POD_NAME=glance-0;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u1',
    ...(ips.length === 0 ? [] : [`IP=${ips.join(',')}`]),
  ].join(';'),
})

const leases = (host: Host): string =>
  execFileSync(join(binaries, 'berth'), ['leases', 'list', '--data-dir', host.dataDir], { encoding: 'utf8' })

function attachAndDetach(host: Host, pod: Pod, config: string, type: string, ips: readonly string[] = []): string {
  const options = { plugin: join(binDir, type), environment: multus(ips) }
  const result = host.call('ADD', pod, config, options)
  expect([result.exitCode, result.stderr]).toEqual([0, ''])
  const listed = leases(host)
  const detached = host.call('DEL', pod, config, options)
  expect([detached.exitCode, detached.stdout]).toEqual([0, ''])
  const { ips: got = [] }: { ips?: { address: string }[] } = JSON.parse(result.stdout)
  expect(got).toHaveLength(1)
  const address = got[0]?.address ?? ''
  expect(listed).toMatch(new RegExp(`^${address.replace('/', '\\/')} .* openstack/glance-0 .* held$`, 'm'))
  return address
}

const networks = [
  ['nad-internalapi.yaml', '172.17.0.30/24'],
  ['nad-storage.yaml', '172.18.0.30/24'],
] as const

describe.each(networks)('%s', (name, first) => {
  const config = configOf(name)
  const { master } = JSON.parse(config)

  it('works with the two types changed', () => {
    install()
    using host = new VlanHost(master)
    const changed = config.replace('"macvlan"', '"berth-macvlan"').replace('"whereabouts"', '"berth-ipam"')
    expect(attachAndDetach(host, host.pod(), changed, 'berth-macvlan')).toBe(first)
  })

  it('works unchanged where we are installed under both names', () => {
    install('macvlan', 'whereabouts')
    using host = new VlanHost(master)
    expect(attachAndDetach(host, host.pod(), config, 'macvlan')).toBe(first)
  })

  it('works with the main plugin of somebody else over our IPAM', () => {
    install('whereabouts')
    using host = new VlanHost(master)
    execFileSync('ln', ['-s', '/usr/lib/cni/macvlan', join(binDir, 'macvlan')])
    // The reference plugin enters a namespace by name; its IPAM gets all of the config.
    expect(attachAndDetach(host, host.pod(), config, 'macvlan')).toBe(first)
  })

  it('goes to the whereabouts of somebody else when that is what is there', () => {
    install('macvlan')
    const called = join(binDir, '..', 'called')
    const answer = '{"cniVersion":"0.3.1","ips":[{"version":"4","address":"172.17.0.99/24"}]}'
    const script = `#!/bin/sh\necho "$CNI_COMMAND" >> ${called}\n[ "$CNI_COMMAND" = ADD ] && echo '${answer}'\nexit 0\n`
    writeFileSync(join(binDir, 'whereabouts'), script, { mode: 0o755 })
    using host = new VlanHost(master)
    const pod = host.pod()
    const options = { plugin: join(binDir, 'macvlan'), environment: multus() }
    expect(host.add(pod, JSON.parse(config), options).ips?.[0]?.address).toBe('172.17.0.99/24')
    expect(host.call('DEL', pod, config, options).exitCode).toBe(0)
    expect(readFileSync(called, 'utf8')).toBe('ADD\nDEL\n')
  })
})

describe('the annotation "ips"', () => {
  const [{ ips }] = JSON.parse(parse(fixture('pod-ips.yaml')).metadata.annotations['k8s.v1.cni.cncf.io/networks'])
  const config = configOf('nad-internalapi.yaml')

  const capable = JSON.stringify({ ...JSON.parse(config), capabilities: { ips: true }, runtimeConfig: { ips } })

  // Each way by itself: Multus goes both for a config with the capability.
  it.each<[string, string, string[]]>([
    ['as Multus passes it without a capability', config, ips],
    ['as a capability', capable, []],
  ])('reaches the IPAM and is recorded: %s', (_, asked, inArguments) => {
    install('macvlan', 'whereabouts')
    using host = new VlanHost('enp6s0.20')
    expect(attachAndDetach(host, host.pod(), asked, 'macvlan', inArguments)).toBe('172.17.0.20/24')
  })

  it('tells a second pod who has the address', () => {
    install('macvlan', 'whereabouts')
    using host = new VlanHost('enp6s0.20')
    const [first, second] = [host.pod(), host.pod()]
    const options = { plugin: join(binDir, 'macvlan'), environment: multus(ips) }
    host.add(first, JSON.parse(config), options)
    const refused = JSON.parse(host.call('ADD', second, config, options).stdout)
    expect([refused.code, refused.msg]).toEqual([101, expect.stringContaining('"172.17.0.20"')])
    expect(host.call('DEL', first, config, options).exitCode).toBe(0)
  })
})

describe('a call under an alias', () => {
  it('is answered for what is installed, and for no other name', () => {
    install('macvlan')
    const version = (name: string): string =>
      spawnSync(join(binDir, name), { env: { CNI_COMMAND: 'VERSION' }, encoding: 'utf8' }).stdout
    expect(JSON.parse(version('macvlan')).cniVersion).toBe('1.1.0')
    expect(readdirSync(binDir).filter((name) => !/^\.?berth/.test(name))).toEqual(['macvlan'])
    // A name that is none of ours is the administrator's command, and answers no call.
    symlinkSync('.berth/current/berth', join(binDir, 'bridge'))
    expect(version('bridge')).not.toContain('cniVersion')
  })
})
