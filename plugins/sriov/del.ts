/**
 * DEL: the VF first, its addresses last. It goes by what the attachment holds, wherever its interface is by now, and not by the config: what
 * another attachment holds is never touched. What fails stays held, so that a retry goes on where this one stopped.
 */
import type { AttachmentRecord } from '../../ipam/index.ts'
import { type Ip, parseCidr } from '../../shared/address.ts'
import type { Request } from '../../shared/cni/request.ts'
import type { Result } from '../../shared/cni/result.ts'
import { NetlinkSocket } from '../../shared/host/netlink.ts'
import { insideNetns } from '../../shared/host/netns.ts'
import { timed } from '../../shared/log.ts'
import { findInPod, giveBack, type Holding, holdingsOf, openHolderNetns } from '../../vf/index.ts'
import { release } from '../addresses.ts'
import { removeRules } from '../configure.ts'
import type { Deps } from '../deps.ts'
import { findRecord, holdIfRoom, previousOf } from '../recorded.ts'
import { holdingsIn } from './take.ts'

/** Routing rules do not go with an interface, and are found by it. */
async function removeOwnRules({ address, netdev, ...rest }: Holding, ips: readonly Ip[], root: string): Promise<void> {
  using netns = openHolderNetns({ address, ...rest }, root)
  if (netns === undefined || netdev === undefined) return
  const found = await findInPod(netns, address, netdev)
  if (found === undefined) return
  using pod = insideNetns(netns, () => new NetlinkSocket())
  removeRules(pod, found.index, ips)
}

const addressesOf = (record: AttachmentRecord | undefined, previous: Result | undefined): Ip[] =>
  [...(record?.leases ?? []), ...(previous?.ips ?? [])].flatMap(({ address }) => parseCidr(address)?.ip ?? [])

export async function del(request: Request, deps: Deps): Promise<void> {
  using _held = await holdIfRoom(deps, request.key)
  const holdings = holdingsIn(deps)
  const ips = addressesOf(findRecord(request, deps), previousOf(request))
  for (const holding of holdingsOf(holdings, request.key)) {
    await timed('rules', () => removeOwnRules(holding, ips, deps.root))
    await timed('give back', () => giveBack(holding, deps.root))
    holdings.remove(holding)
  }
  await timed('release', () => release(request, deps))
}
