/** A process whose /proc/sys is read-only, as in a container that is not privileged, in a PID namespace whose process 1 has another. */
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { binaries, Host } from './host.ts'

const readOnly = 'mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys; exec "$0"'
// The outer one stays as process 1, with the /proc that it has.
const asChild = `unshare --mount --propagation private sh -ec '${readOnly}' "$0"; exit $?`

test.each([
  ['sets sysctls through process 1', asChild, '', '0'],
  [
    'goes on with a warning where that has a read-only one, too',
    readOnly,
    'cannot set sysctl "net/ipv6/conf/net1/accept_ra"',
    '1',
  ],
])('ADD %s', (_, script, warning, acceptRa) => {
  using host = new Host()
  const pod = host.pod()
  const inNode = [`--net=/run/netns/${host.node}`, 'unshare', '--pid', '--fork', '--mount', '--mount-proc', 'sh', '-ec']
  const done = spawnSync('nsenter', [...inNode, script, join(binaries, 'berth-macvlan')], {
    input: JSON.stringify(host.config()),
    env: host.environment('ADD', pod),
    encoding: 'utf8',
  })
  expect([done.status, JSON.parse(done.stdout).ips.length]).toEqual([0, 1])
  expect(done.stderr).toContain(warning)
  if (warning === '') expect(done.stderr).toBe('')
  const shown = execFileSync('ip', ['netns', 'exec', pod.name, 'cat', '/proc/sys/net/ipv6/conf/net1/accept_ra'])
  expect(shown.toString().trim()).toBe(acceptRa)
  expect(host.call('DEL', pod, host.config()).exitCode).toBe(0)
})
