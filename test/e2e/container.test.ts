/** What a process in a container sees of its node, what it may not do there, and what becomes of a call for it. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Declined } from '../../plugins/deps.ts'
import { openstackPort } from '../../plugins/openstack/port.ts'
import { root as repository } from '../house/sources.ts'
import { temporaryDirectory } from '../shared/temporary.ts'

const network = 'openstack:0b1e7f5a-1111-4222-8333-444455556666'

test('a config drive that an agent may not read is left to the program, and the program says that it may not', () => {
  const root = temporaryDirectory()
  const dev = join(root, 'dev')
  mkdirSync(dev)
  // As in a container: the disks have names there, and nobody may open them.
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'nodev', 'tmpfs', dev])
  onTestFinished(() => void execFileSync('umount', [dev]))
  mkdirSync(join(dev, 'disk/by-label'), { recursive: true })
  execFileSync('mknod', [join(dev, 'disk/by-label/config-2'), 'b', '7', '0'])
  expect(() => openstackPort(network, { folder: undefined, root })).toThrow(Declined)
})

test('addresses that may not be announced are a warning, and nobody loses an attachment', () => {
  const script = `
    import { announce } from '${repository}/shared/host/announce.ts'
    import { nodeNetns } from '${repository}/shared/host/netns.ts'
    announce(nodeNetns(), { index: 1, mac: '02:00:00:00:00:01' }, [{ family: 4, value: 0x0a000001n }])`
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', script]
  const done = spawnSync('capsh', ['--drop=cap_net_raw', `--shell=${node[0]}`, '--', ...node.slice(1)], {
    encoding: 'utf8',
  })
  expect([done.status, done.stderr]).toEqual([
    0,
    expect.stringMatching(/^berth: warn: cannot announce the addresses of link 1: .*EPERM.*\n$/),
  ])
})

test("the node's machine-id is that of process 1, whatever a container has in its place", () => {
  const script = `
    import { readMachineId } from '${repository}/shared/host/boot.ts'
    console.log(readMachineId())`
  const inContainer = 'mount --bind /dev/null /etc/machine-id; "$@"'
  const asProcess1 = 'unshare --mount sh -ec "$0" sh "$@"; exit'
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', script]
  const namespaces = ['--pid', '--fork', '--mount', '--mount-proc']
  const done = spawnSync('unshare', [...namespaces, 'sh', '-c', asProcess1, inContainer, ...node], { encoding: 'utf8' })
  expect([done.stderr, done.stdout]).toEqual(['', readFileSync('/etc/machine-id', 'utf8')])
})
