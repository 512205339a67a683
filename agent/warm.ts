/**
 * Real calls before the first real one: what V8 has compiled and optimised by then, nobody waits for. They are about a master in a
 * network namespace of their own, and leases in a directory of their own.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { allPlugins } from '../plugins/all.ts'
import { dispatch } from '../plugins/dispatch.ts'
import { monotonicMs } from '../shared/clock.ts'
import { makeDirectory, removeDirectory } from '../shared/disk.ts'
import { findLink, setLinkUp } from '../shared/host/links.ts'
import { dropFilePages } from '../shared/host/memory.ts'
import { NetlinkSocket } from '../shared/host/netlink.ts'
import { insideNetns, newNetns } from '../shared/host/netns.ts'
import { createVeth } from '../shared/host/new-links.ts'
import { log } from '../shared/log.ts'
import { messageOf } from '../shared/message.ts'
import { Resources } from './deps.ts'

/** After some hundreds of calls they are as fast as they get; a slow machine shall not wait for that. */
const roundsMax = 400
const timeMaxMs = 3000
const pauseMs = 5

const master = 'warm0'

const configs = [
  { type: 'berth-ipam', range: '10.0.0.0/24', gateway: '10.0.0.1', routes: [{ dst: '0.0.0.0/0' }] },
  { type: 'berth-ipam', ipRanges: [{ range: '10.0.1.0/24' }, { range: 'fd00::/64' }] },
].map((ipam) => ({
  cniVersion: '1.0.0',
  name: 'warm',
  type: 'berth-macvlan',
  master,
  linkInContainer: true,
  ipam,
}))

async function life(resources: Resources, netns: string, config: object): Promise<void> {
  const call = async (verb: string, given: object): Promise<string> => {
    const environment = {
      CNI_COMMAND: verb,
      CNI_CONTAINERID: 'warm',
      CNI_NETNS: netns,
      CNI_IFNAME: 'net1',
      CNI_PATH: '/nowhere',
    }
    const input = JSON.stringify(given)
    const deps = resources.depsFor(environment, { root: '', isAlive: () => true })
    const reply = await dispatch({ name: 'berth-macvlan', environment, readStdin: () => input }, deps, allPlugins)
    if (reply.exitCode !== 0) throw new Error(`${verb}: ${reply.stdout}`)
    return reply.stdout
  }
  const prevResult = JSON.parse(await call('ADD', config))
  for (const verb of ['CHECK', 'DEL']) await call(verb, { ...config, prevResult })
}

/** Leaves nothing behind in `directory`. What cannot be warmed up is slower at first, and nothing else. */
export async function warmUp(directory: string): Promise<void> {
  const startMs = monotonicMs()
  try {
    removeDirectory(directory)
    makeDirectory(directory)
    using resources = new Resources(directory)
    using netns = newNetns()
    using socket = insideNetns(netns, () => new NetlinkSocket())
    createVeth(socket, master, 'warm1')
    const index = findLink(socket, { name: master })?.index ?? 0
    socket.batch([setLinkUp(index)])
    for (let round = 0; round < roundsMax && monotonicMs() - startMs < timeMaxMs; round++) {
      for (const config of configs) await life(resources, netns.path, config)
    }
    while (resources.removing > 0) await pause(pauseMs)
    dropFilePages()
    log('info', `warm after ${(monotonicMs() - startMs).toFixed(0)} ms`)
  } catch (error) {
    log('warn', `the first calls will be slow: ${messageOf(error)}`)
  } finally {
    removeDirectory(directory)
  }
}
