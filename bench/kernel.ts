/** The kernel's part of an ADD inside one warm process: the messages of berth-macvlan, timed around their system calls. */
import { configureLink } from '../plugins/configure.ts'
import { createMacvlan, deleteLink, findLink } from '../shared/host/links.ts'
import { NetlinkSocket } from '../shared/host/netlink.ts'
import { insideNetns, openNetns } from '../shared/host/netns.ts'
import { randomLinkIndex, randomMac } from '../shared/host/random.ts'
import type { Samples } from './measure.ts'

const results = {
  'kernel part of an ADD, IPv4': {
    ips: [{ address: '10.0.0.5/24', gateway: '10.0.0.1' }],
    routes: [{ dst: '0.0.0.0/0' }],
  },
  'kernel part of an ADD, dual stack': {
    ips: [{ address: '10.0.0.5/24', gateway: '10.0.0.1' }, { address: 'fd00::5/64' }],
    routes: [{ dst: '0.0.0.0/0' }, { dst: 'fd01::/64', gw: 'fd00::1' }],
  },
}

/** Creates, configures and removes a macvlan in the pod's namespace `rounds` times for each kind of network. */
export function measureKernelPart(samples: Samples, podPath: string, masterName: string, rounds: number): void {
  using netns = openNetns(podPath, false)
  using host = new NetlinkSocket()
  using pod = insideNetns(netns, () => new NetlinkSocket())
  const master = findLink(host, { name: masterName })
  if (master === undefined) throw new Error(`no link ${masterName}`)
  const rest = {
    mode: 'bridge',
    parentIndex: master.index,
    mtuBytes: undefined,
    broadcastQueueLength: undefined,
    netns,
  } as const
  for (let round = 0; round < rounds; round++) {
    for (const [name, result] of Object.entries(results)) {
      const link = { ...rest, name: 'net1', index: randomLinkIndex(), mac: randomMac() }
      samples.time(name, () => {
        createMacvlan(host, link)
        configureLink(pod, netns, link, { interfaces: [], dns: {}, ...result })
      })
      deleteLink(pod, link.index)
    }
  }
}
