/**
 * Asking the wire, before addresses are final, whether a stranger uses them already (RFC 5227 section 2.1; RFC 4862 section
 * 5.4). Off unless the config asks for it: it costs its time in every ADD.
 */
import { claimOther, ipamResult, type Plan } from '../ipam/index.ts'
import { formatIp } from '../shared/address.ts'
import { CniError } from '../shared/cni/errors.ts'
import type { Request } from '../shared/cni/request.ts'
import type { Result } from '../shared/cni/result.ts'
import { awaitCarrier } from '../shared/host/announce.ts'
import { setLinkDown, setLinkUp } from '../shared/host/links.ts'
import type { NetlinkSocket } from '../shared/host/netlink.ts'
import { insideNetns, type Netns } from '../shared/host/netns.ts'
import { type Conflict, probe } from '../shared/host/probe.ts'
import { setNetSysctl } from '../shared/host/sysctl.ts'
import { log } from '../shared/log.ts'
import { whileBusy } from '../vf/index.ts'
import type { RecordedLink } from './addresses.ts'
import type { Deps } from './deps.ts'
import { readAddress } from './routing.ts'

/** A wire on which so many addresses in a row are in use is not the one that the range is for. */
const roundsMax = 4
/** As a network card needs to agree with a switch on nothing but that it is there. */
const carrierMaxMs = 1000

interface ProbedLink {
  readonly name: string
  readonly index: number
  readonly mac: string
  /** What the ledger has of the link. */
  readonly recorded: RecordedLink
}

/** Asks on the link while it is up without an address; it is down again afterwards, as configureLink wants it. */
async function strangers(socket: NetlinkSocket, netns: Netns, link: ProbedLink, { ips }: Result): Promise<Conflict[]> {
  // No router's advertisement shall be taken in meanwhile.
  insideNetns(netns, () => setNetSysctl(`ipv6/conf/${link.name}/accept_ra`, '0'))
  await whileBusy(() => socket.batch([setLinkUp(link.index)]))
  // A link of hardware needs a while; without a carrier nobody can be asked, and the probe says so.
  await awaitCarrier(netns, link.index, carrierMaxMs)
  try {
    return probe(
      netns,
      link,
      ips.map(({ address }) => readAddress(address).ip),
    )
  } finally {
    socket.batch([setLinkDown(link.index)])
  }
}

/**
 * Returns the IPAM's answer, with other addresses where strangers use those it had. Throws ERR_TAKEN when the wire answers
 * for every address tried.
 */
export async function settleAddresses(
  request: Request,
  deps: Deps,
  plan: Plan,
  netns: Netns,
  socket: NetlinkSocket,
  link: ProbedLink,
  first: Result,
): Promise<Result> {
  let result = first
  for (let round = 1; ; round++) {
    const conflicts = await strangers(socket, netns, link, result)
    if (conflicts.length === 0) return result
    for (const { ip, mac } of conflicts) log('warn', `"${formatIp(ip)}" is in use by "${mac}": kept out of use`)
    if (round === roundsMax) {
      const tried = conflicts.map(({ ip, mac }) => `"${formatIp(ip)}" by "${mac}"`).join(', ')
      throw new CniError(
        'ERR_TAKEN',
        `Cannot claim for "${link.name}": the wire answers for every address tried, last ${tried}`,
      )
    }
    result = ipamResult(claimOther(deps.store, request, plan, netns, conflicts, link.recorded), plan)
  }
}
