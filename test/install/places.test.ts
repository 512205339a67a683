import { expect, test } from 'vitest'
import { checkDefaultsPlace, placesOf } from '../../install/places.ts'

const on = (paths: string[], given: { binDir?: string; confDir?: string } = {}) =>
  placesOf({ hostRoot: '/host', binDir: undefined, confDir: undefined, ...given }, (path) =>
    paths.some((one) => `/host${one}` === path || `/host${one}`.startsWith(`${path}/`)),
  )

test.each([
  ['the usual', [], '/opt/cni/bin', '/etc/cni/net.d'],
  [
    'k3s',
    ['/var/lib/rancher/k3s/agent', '/var/lib/rancher/k3s/data/cni'],
    '/var/lib/rancher/k3s/data/cni',
    '/var/lib/rancher/k3s/agent/etc/cni/net.d',
  ],
  [
    'k3s',
    ['/var/lib/rancher/k3s/agent', '/var/lib/rancher/k3s/data/current/bin'],
    '/var/lib/rancher/k3s/data/current/bin',
    '/var/lib/rancher/k3s/agent/etc/cni/net.d',
  ],
  [
    'MicroK8s',
    ['/var/snap/microk8s/current'],
    '/var/snap/microk8s/current/opt/cni/bin',
    '/var/snap/microk8s/current/args/cni-network',
  ],
  ['OpenShift', ['/etc/kubernetes/cni/net.d'], '/var/lib/cni/bin', '/etc/kubernetes/cni/net.d'],
  ['the usual', ['/var/lib/rancher/rke2/agent'], '/opt/cni/bin', '/etc/cni/net.d'],
])('placesOf() finds the folders of %s when there is %j', (known, paths, bin, conf) => {
  expect(on(paths)).toEqual({ binDir: `/host${bin}`, confDir: `/host${conf}`, known })
})

test('placesOf() takes what is given before what it finds', () => {
  const k3s = ['/var/lib/rancher/k3s/agent', '/var/lib/rancher/k3s/data/cni']
  expect(on(k3s, { binDir: '/b', confDir: '/c' })).toEqual({ binDir: '/b', confDir: '/c', known: 'given' })
  expect(on(k3s, { binDir: '/b' }).confDir).toBe('/host/var/lib/rancher/k3s/agent/etc/cni/net.d')
})

test('placesOf() looks at the node itself when nothing is mounted elsewhere', () => {
  expect(placesOf({ hostRoot: '/', binDir: undefined, confDir: undefined }, () => false).binDir).toBe('/opt/cni/bin')
})

test('checkDefaultsPlace() refuses a folder in which no call looks', () => {
  for (const folder of ['/etc/cni/net.d', '/host/etc/kubernetes/cni/net.d'])
    expect(checkDefaultsPlace(folder)).toBe(undefined)
  expect(() => checkDefaultsPlace('/host/etc/cni/multus')).toThrow(
    /^Cannot write defaults into "\/host\/etc\/cni\/multus": calls look for them in .*, \/etc\/cni\/net\.d alone$/,
  )
})
