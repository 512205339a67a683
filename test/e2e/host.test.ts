/** The end-to-end tests' own guard: it must go red. */
import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { Host, ip } from './host.ts'

test('Host complains when a test leaves a lease and a macvlan behind', () => {
  const host = new Host()
  host.add(host.pod(), host.config())
  expect(() => host[Symbol.dispose]()).toThrow(/left behind: 10\.20\.0\.10, net-a,ctr-0,net1, .*-p0: net1/)
})

test('Host complains when a test leaves a link on the node behind', () => {
  const host = new Host()
  ip('-n', host.node, 'link', 'add', 'stray', 'link', host.nic, 'type', 'macvlan')
  expect(() => host[Symbol.dispose]()).toThrow('left behind: stray')
})

test('the packaged program runs from its warm code cache', () => {
  using host = new Host()
  const env = host.environment('VERSION', host.pod(), { environment: { BERTH_LOG: 'debug' } })
  const version = spawnSync(`${import.meta.dirname}/../../dist/cni/berth-macvlan`, [], { env, encoding: 'utf8' })
  expect(version).toMatchObject({ status: 0, stderr: '' })
  expect(JSON.parse(version.stdout)).toMatchObject({ cniVersion: '1.1.0' })
})
