/** ADD: claim -> create -> configure -> result. Every step that changes something pushes its undo. */
import type { Ip } from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import type { Request } from '../../shared/cni/request.ts'
import type { Result } from '../../shared/cni/result.ts'
import type { ListedAddress } from '../../shared/host/addresses.ts'
import { SystemError } from '../../shared/host/libc.ts'
import { findLink, type Link, setLinkMac } from '../../shared/host/links.ts'
import { NetlinkSocket } from '../../shared/host/netlink.ts'
import { insideNetns, type Netns, openNetns } from '../../shared/host/netns.ts'
import type { ChildSpec } from '../../shared/host/new-links.ts'
import { randomLinkIndex, randomMac } from '../../shared/host/random.ts'
import { log, timed } from '../../shared/log.ts'
import { Undo } from '../../shared/undo.ts'
import { claimFor, isForeign, type RecordedLink } from '../addresses.ts'
import { refuseNoAddress, refuseTakenName, resultOf } from '../answer.ts'
import { awaitDetection, configureLink, removeRules } from '../configure.ts'
import type { Deps } from '../deps.ts'
import { fromIp, macOfResult } from '../mac.ts'
import { readAddress } from '../routing.ts'
import { settleAddresses } from '../settle.ts'
import { type ChildConfig, withPlan } from './config.ts'
import { inWords, isUnknownKind } from './kernel-error.ts'
import type { ChildKind } from './kind.ts'
import { lookUpMaster, type Master } from './master.ts'
import { ensureVlan } from './own-vlan.ts'

/** Refuses what the kernel would refuse in words that do not name the value. */
function refuseMtu({ mtuBytes }: ChildConfig, master: Link): void {
  if (mtuBytes === undefined || mtuBytes <= master.mtuBytes) return
  const why = `must be 0 to ${master.mtuBytes}, the MTU of master "${master.name}"`
  throw new CniError('ERR_CONFIG', `Cannot use mtu ${mtuBytes}: ${why}`)
}

/** Creates the link. Throws the kernel's refusal in words that say what it means. */
function create<Config extends ChildConfig>(
  kind: ChildKind<Config>,
  socket: NetlinkSocket,
  spec: ChildSpec & { readonly mac: string },
  config: Config,
  master: Link,
): void {
  try {
    kind.create(socket, spec, config)
  } catch (error) {
    if (!(error instanceof SystemError)) throw error
    if (error.code === 'EEXIST') refuseTakenName(spec.name)
    const why = isUnknownKind(error) ? `: the kernel has no ${kind.name}` : error.code === 'EBUSY' ? kind.whyBusy : ''
    throw inWords(error, `Cannot create "${spec.name}" on master "${master.name}"${why}`)
  }
}

const addressesOf = ({ ips }: Result): Ip[] => ips.map(({ address }) => readAddress(address).ip)

/** What is recorded of the link before there is one; a MAC made of the address is not known yet. */
const chooseLink = (wantedMac: string | undefined, more: Partial<RecordedLink>, master: Master): RecordedLink => ({
  index: randomLinkIndex(),
  ...(wantedMac === fromIp ? {} : { mac: wantedMac ?? randomMac() }),
  ...more,
  ...(master.own === undefined ? {} : { vlan: master.index }),
})

interface Place<Config extends ChildConfig> {
  readonly host: NetlinkSocket
  readonly pod: NetlinkSocket
  readonly netns: Netns
  readonly master: Master
  /** What the node's links have, for hostAccess. */
  readonly addresses: readonly ListedAddress[]
  readonly deps: Deps
  readonly undo: Undo
  readonly config: Config
}

interface MadeLink {
  readonly name: string
  readonly index: number
  readonly mac: string
  readonly recorded: RecordedLink
}

/** Gives the link that was made its addresses, and where the node is to reach them the node its part. */
async function dress<Config extends ChildConfig>(
  kind: ChildKind<Config>,
  { host, pod, netns, master, addresses, deps, undo, config }: Place<Config>,
  link: MadeLink,
  result: Result,
): Promise<void> {
  const { hostAccess: isAsked, layer3 } = config
  const hostAccess = isAsked ? kind.hostAccess : undefined
  const more = hostAccess
    ? await timed('host access', () =>
        hostAccess.grant({ host, master, addresses, deps, undo }, link, link.recorded, result, layer3),
      )
    : []
  if (isAsked || layer3.sourceRouting !== undefined) {
    undo.push('rules', () => removeRules(pod, link.index, addressesOf(result)))
  }
  const own = { ...link, mac: kind.hasOwnMac ? link.mac : undefined }
  await timed('configure', () => configureLink(pod, netns, own, result, layer3, more))
  if (layer3.dad === 'wait') await timed('detection', () => awaitDetection(pod, link, result))
}

/** Of an attachment that was claimed before, DEL goes by what was recorded then. */
function refuseOtherLink({ key }: Request, chosen: RecordedLink, recorded: RecordedLink): void {
  const [wanted, had] = [chosen.ipvlan, recorded.ipvlan]
  if (chosen.vlan === recorded.vlan && wanted?.master === had?.master && wanted?.mode === had?.mode) return
  const why = 'an earlier call claimed its addresses for a link of another kind, mode or master'
  const details = 'a DEL of the attachment releases it'
  throw new CniError('ERR_CONFLICT', `Cannot create "${key.ifName}": ${why}`, { details })
}

export async function add<Config extends ChildConfig>(
  kind: ChildKind<Config>,
  request: Request,
  deps: Deps,
): Promise<Result> {
  const { config, plan } = withPlan(kind.readConfig(request), request, deps)
  kind.refuse(config, request)
  refuseNoAddress(config, request)
  const asksWire = plan.probe && kind.hasOwnMac
  if (plan.probe && !asksWire) log('warn', `"ipam.conflictCheck" is ignored: an ${kind.name} does not hear the answers`)
  using _held = await deps.hold(request.key)
  using netns = openNetns(request.netnsPath, request.netnsOverride, deps.root)
  using host = deps.openHost()
  using pod = insideNetns(netns, () => new NetlinkSocket())
  const home = config.masterInContainer ? pod : host
  const { master: planned, addresses } = lookUpMaster(home, config)
  refuseMtu(config, planned)
  kind.refuseOn(config, planned)
  // A foreign IPAM may take a second ADD of a living attachment for a new one, so it must not get to see it. Ours knows
  // better, and the kernel finds out without being asked.
  if (isForeign(request) && findLink(pod, { name: request.key.ifName }) !== undefined)
    refuseTakenName(request.key.ifName)
  const wanted = kind.macOn(config, planned)
  const chosen = chooseLink(wanted, kind.recorded(config, planned), planned)

  return await Undo.guard(async (undo) => {
    const claimed = await timed('claim', async () => {
      using _reserved = await kind.reserve?.(home, config, planned, request, deps)
      return await claimFor(request, deps, plan, netns, chosen, undo)
    })
    const { result, link, fresh } = claimed
    refuseOtherLink(request, chosen, link)
    const master =
      planned.own === undefined
        ? planned
        : await timed('vlan', () => ensureVlan(host, config, planned, request.key, deps, fresh ? undo : undefined))
    const spec = {
      name: request.key.ifName,
      index: link.index,
      parentIndex: master.index,
      mac: wanted === fromIp ? macOfResult(result) : (wanted ?? link.mac ?? randomMac()),
      mtuBytes: config.mtuBytes,
      netns: config.masterInContainer ? undefined : netns,
    }
    const undoCreate = (): void => undo.push('create', () => deps.deleteLink(netns, pod, spec.index))
    // The index is this call's own choice: pushed before the message is sent, the undo is right even if its answer is lost.
    // An index recorded by an earlier call may be that of a living link until the kernel has agreed to a new one.
    if (fresh) undoCreate()
    await timed('create', () => create(kind, home, spec, config, master))
    if (!fresh) undoCreate()
    const settled = asksWire
      ? await timed('probe', () =>
          settleAddresses(request, deps, plan, netns, pod, { ...spec, recorded: link }, result),
        )
      : result
    const mac = asksWire && wanted === fromIp ? macOfResult(settled) : spec.mac
    if (mac !== spec.mac) setLinkMac(pod, spec.index, mac)
    await dress(
      kind,
      { host, pod, netns, master, addresses, deps, undo, config },
      { ...spec, mac, recorded: link },
      settled,
    )

    // The kernel has worked beside the disk: a power cut takes both away together.
    await timed('disk', () => claimed.durable)
    const attached = { name: spec.name, mac, mtu: config.mtuBytes ?? master.mtuBytes, sandbox: request.netnsPath }
    return resultOf(request, attached, result, settled)
  })
}
