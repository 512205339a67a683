/** Holdings of devices that no machine has. */
import { readBootId } from '../../shared/host/boot.ts'
import type { Holding } from '../../vf/holding.ts'

export const address = '0000:77:02.1'

export const holdingOf = (more: Partial<Holding> = {}): Holding => ({
  format: 1,
  address,
  network: 'storage',
  containerId: 'ctr-1',
  ifName: 'net1',
  netns: { path: '/run/netns/pod-1', dev: 4, ino: 4_026_531_999 },
  pf: { address: '0000:77:00.0', vf: 1 },
  netdev: {
    name: 'eno2v1',
    mac: '02:00:00:00:00:01',
    mtuBytes: 1500,
    up: false,
    allMulticast: false,
    promiscuous: false,
    alternativeNames: ['enp119s2f1'],
    driver: 'ixgbevf',
    podIndex: 1_048_577,
  },
  before: { mac: '00:00:00:00:00:00', vlan: { id: 0, qos: 0, protocol: '802.1q' }, trust: false },
  set: { vlan: { id: 100, qos: 0, protocol: '802.1q' } },
  host: 'node-1',
  bootId: readBootId(),
  heldSince: '2026-11-21T10:00:00.000Z',
  ...more,
})
