/** Masters named by their OpenStack network, with the metadata on a config drive. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Host, ip } from '../e2e/host.ts'
import { macOf, networkDataOf, networks, writeNetworkData } from '../e2e/metadata.ts'
import { reaches } from '../e2e/reach.ts'
import { Link, node, otherNic } from './guest.ts'
import { far, silence, Tagged } from './tagged.ts'

const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()

const mib = 1024 * 1024

/** An image file with the host's metadata. */
const makers: Record<string, (folder: string, image: string, label: string) => void> = {
  'an ISO image': (folder, image, label) => run('genisoimage', '-quiet', '-R', '-J', '-V', label, '-o', image, folder),
  'a FAT disk': (folder, image, label) => {
    writeFileSync(image, Buffer.alloc(8 * mib))
    run('mkfs.vfat', '-n', label, image)
    run('mcopy', '-s', '-i', image, join(folder, 'openstack'), '::')
  },
}

/** A disk of the node with the host's metadata on it. */
class ConfigDrive implements Disposable {
  readonly device: string

  constructor(host: Host, how: string, label = 'config-2') {
    const folder = join(host.dataDir, 'drive')
    writeNetworkData(folder, 'openstack/latest', networkDataOf(host))
    const image = join(host.dataDir, 'image')
    makers[how]?.(folder, image, label)
    run('modprobe', 'loop')
    this.device = run('losetup', '--find', '--show', image)
  }

  [Symbol.dispose](): void {
    run('losetup', '-d', this.device)
  }
}

const config = (host: Host, network: string, more: object = {}): Record<string, unknown> =>
  host.config({ master: `openstack:${network}`, ...more })

test.each(Object.keys(makers))('ADD finds the master by its network on %s, without mounting that anywhere', (how) => {
  using host = new Tagged()
  using drive = new ConfigDrive(host, how)
  const pod = host.pod()
  const keys = config(host, networks.tenant)
  const prevResult = host.add(pod, keys)
  expect(host.call('CHECK', pod, { ...keys, prevResult })).toEqual(silence)
  expect(run('cat', '/proc/mounts')).not.toContain(drive.device)
  host.call('DEL', pod, keys)
})

test('the port of a network may be a VLAN of a link, which is made when asked for', () => {
  using host = new Tagged()
  using _drive = new ConfigDrive(host, 'an ISO image')
  const pod = host.pod()
  const keys = config(host, networks.tagged, { createVlan: true })
  host.add(pod, keys)
  expect(host.vlan().address).toBe('fa:16:3e:00:00:03')
  expect(reaches(pod.name, far)).toBe(true)
  expect(host.call('DEL', pod, keys)).toEqual(silence)
  expect(host.hasLink()).toBe(false)
})

test('a port is the NIC that was made with its MAC, whatever that and others have now', () => {
  using host = new Host({ name: node, nic: otherNic })
  const pod = host.pod()
  const mac = macOf(host)
  const folder = join(host.dataDir, 'metadata')
  writeNetworkData(folder, '', networkDataOf(host))
  ip('link', 'set', otherNic, 'address', '02:00:00:00:00:77')
  {
    using _other = new Link('other', 'address', mac, 'type', 'dummy')
    const keys = config(host, networks.tenant, { openstackMetadata: folder })
    host.add(pod, keys)
    const [{ link_index: master }] = JSON.parse(ip('-json', '-n', pod.name, 'link', 'show', 'net1'))
    expect(JSON.parse(ip('-json', 'link', 'show', otherNic))[0].ifindex).toBe(master)
    host.call('DEL', pod, keys)
  }
  ip('link', 'set', otherNic, 'address', mac)
})

test('a disk that udev knows by the label is taken before all others', () => {
  using host = new Tagged()
  using drive = new ConfigDrive(host, 'an ISO image', 'other')
  const pod = host.pod()
  const folder = '/dev/disk/by-label'
  mkdirSync(folder, { recursive: true })
  expect(host.error('ADD', pod, config(host, networks.tenant)).msg).toContain('no disk is labelled "config-2"')
  symlinkSync(drive.device, join(folder, 'config-2'))
  host.add(pod, config(host, networks.tenant))
  host.call('DEL', pod, config(host, networks.tenant))
  rmSync(join(folder, 'config-2'))
})
