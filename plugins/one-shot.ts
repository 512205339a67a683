/** The one-shot door's side of a plugin: nobody else is served meanwhile, so everything may simply wait. */
import { claimAddresses, openStore, releaseAddresses } from '../ipam/index.ts'
import { wallClock } from '../shared/clock.ts'
import { dataDirOf } from '../shared/data-dir.ts'
import { deleteLink } from '../shared/host/links.ts'
import { NetlinkSocket } from '../shared/host/netlink.ts'
import type { Deps } from './deps.ts'

export function oneShotDeps(environment: Deps['environment']): Deps {
  const dataDir = dataDirOf(environment)
  const store = openStore(dataDir)
  return {
    store,
    dataDir,
    environment,
    root: '',
    resident: false,
    openHost: () => new NetlinkSocket(),
    hold: (key) => store.hold(key),
    claim: (claim) => {
      const claimed = claimAddresses(store, claim)
      // What another process has written before us, it may not have lived to sync.
      return claimed.fresh ? claimed : { ...claimed, durable: store.flush() }
    },
    release: (key) => releaseAddresses(store, key, wallClock()),
    undoClaim: (key) => releaseAddresses(store, key, wallClock()),
    deleteLink: (_netns, socket, index) => void deleteLink(socket, index),
  }
}
