/** ADD: claim -> create -> configure -> result. Every step that changes something pushes its undo. */
import { CniError } from '../../shared/cni/errors.ts'
import { runtimeDns } from '../../shared/cni/netconf.ts'
import type { Request } from '../../shared/cni/request.ts'
import { type Dns, type Result, versionCarriesNoAddress } from '../../shared/cni/result.ts'
import { SystemError } from '../../shared/host/libc.ts'
import { createMacvlan, findLink, type Link, type MacvlanSpec, setLinkMac } from '../../shared/host/links.ts'
import { NetlinkSocket } from '../../shared/host/netlink.ts'
import { insideNetns, openNetns } from '../../shared/host/netns.ts'
import { randomLinkIndex, randomMac } from '../../shared/host/random.ts'
import { timed } from '../../shared/log.ts'
import { Undo } from '../../shared/undo.ts'
import { claimFor, isForeign, planFor, type RecordedLink } from '../addresses.ts'
import { awaitDetection, configureLink, removeRules } from '../configure.ts'
import type { Deps } from '../deps.ts'
import { settleAddresses } from '../settle.ts'
import { podAddresses, refuseNoAccess } from './access.ts'
import { type MacvlanConfig, macvlanConfig } from './config.ts'
import { grantHostAccess } from './host-access.ts'
import { fromIp, macOfResult } from './mac.ts'
import { lookUpMaster } from './master.ts'

/** Refuses what cannot be, before anything is looked at. */
function checkConfig(config: MacvlanConfig, request: Request): void {
  if (config.hostAccess) refuseNoAccess(config)
  if (config.ipamType !== undefined) return
  if (config.mac === fromIp) {
    throw new CniError('ERR_CONFIG', `Cannot use mac "${fromIp}": without ipam the link has no address`)
  }
  if (!versionCarriesNoAddress(request.version)) {
    const why = `cniVersion "${request.version}" has no result without an address`
    throw new CniError('ERR_CONFIG', `Cannot attach without ipam: ${why}`)
  }
}

/** The runtime's wish goes before what the IPAM knows, and that before the network's own. */
const dnsFor = (request: Request, { dns }: Result): Dns =>
  runtimeDns(request.raw) ?? (Object.keys(dns).length > 0 ? dns : (request.config.dns ?? {}))

/** Refuses what the kernel would take silently, or refuse in words that do not name the value. */
function checkAgainstMaster(config: MacvlanConfig, master: Link): void {
  if (config.mtuBytes !== undefined && config.mtuBytes > master.mtuBytes) {
    const why = `must be 0 to ${master.mtuBytes}, the MTU of master "${master.name}"`
    throw new CniError('ERR_CONFIG', `Cannot use mtu ${config.mtuBytes}: ${why}`)
  }
  if (config.mode === 'passthru' && config.mac !== undefined) {
    throw new CniError('ERR_CONFIG', `Cannot use mac "${config.mac}": in mode "passthru" the link has its master's`)
  }
}

function refuseTakenName(name: string): never {
  throw new CniError('ERR_CONFLICT', `Cannot create "${name}": the namespace has an interface of that name`)
}

function create(socket: NetlinkSocket, spec: MacvlanSpec, master: Link): void {
  try {
    createMacvlan(socket, spec)
  } catch (error) {
    if (!(error instanceof SystemError)) throw error
    if (error.code === 'EEXIST') refuseTakenName(spec.name)
    const message = `Cannot create "${spec.name}" on master "${master.name}": ${error.message}`
    throw new CniError('ERR_KERNEL', message, { cause: error })
  }
}

/** What is recorded of the link before there is one; a MAC made of the address is not known yet. */
const chooseLink = ({ hostAccess }: MacvlanConfig, master: Link, wanted: string | undefined): RecordedLink => ({
  index: randomLinkIndex(),
  ...(wanted === fromIp ? {} : { mac: wanted ?? randomMac() }),
  ...(hostAccess ? { hostAccess: master.index } : {}),
})

export async function add(request: Request, deps: Deps): Promise<Result> {
  const written = macvlanConfig(request)
  const plan = planFor(request, deps)
  const config = { ...written, mtuBytes: written.mtuBytes ?? plan.link.mtuBytes }
  checkConfig(config, request)
  using _held = await deps.hold(request.key)
  using netns = openNetns(request.netnsPath, request.netnsOverride, deps.root)
  using host = deps.openHost()
  using pod = insideNetns(netns, () => new NetlinkSocket())
  const home = config.masterInContainer ? pod : host
  const { master, addresses } = lookUpMaster(home, config)
  checkAgainstMaster(config, master)
  // A foreign IPAM may take a second ADD of a living attachment for a new one, so it must not get to see it. Ours knows
  // better, and the kernel finds out without being asked.
  if (isForeign(request) && findLink(pod, { name: request.key.ifName }) !== undefined)
    refuseTakenName(request.key.ifName)
  const wanted = config.mode === 'passthru' ? master.mac : config.mac
  const chosen = chooseLink(config, master, wanted)
  const macFor = (result: Result, recorded?: string): string =>
    wanted === fromIp ? macOfResult(result) : (wanted ?? recorded ?? randomMac())

  return await Undo.guard(async (undo) => {
    const { result, link, fresh, durable } = await timed('claim', () =>
      claimFor(request, deps, plan, netns, chosen, undo),
    )
    const spec: MacvlanSpec = {
      name: request.key.ifName,
      index: link.index,
      parentIndex: master.index,
      mode: config.mode,
      mac: macFor(result, link.mac),
      mtuBytes: config.mtuBytes,
      broadcastQueueLength: config.broadcastQueueLength,
      netns: config.masterInContainer ? undefined : netns,
    }
    const undoCreate = (): void => undo.push('create', () => deps.deleteLink(netns, pod, spec.index))
    // The index is this call's own choice: pushed before the message is sent, the undo is right even if its answer is lost.
    // An index recorded by an earlier call may be that of a living link until the kernel has agreed to a new one.
    if (fresh) undoCreate()
    await timed('create', () => create(home, spec, master))
    if (!fresh) undoCreate()
    const settled = plan.probe
      ? await timed('probe', () =>
          settleAddresses(request, deps, plan, netns, pod, { ...spec, recorded: link }, result),
        )
      : result
    const mac = plan.probe && wanted === fromIp ? macOfResult(settled) : spec.mac
    if (mac !== spec.mac) setLinkMac(pod, spec.index, mac)
    const more = config.hostAccess
      ? await timed('host access', () =>
          grantHostAccess({ host, master, addresses, deps, undo }, { ...spec, mac }, link, settled, config.layer3),
        )
      : []
    if (config.hostAccess || config.layer3.sourceRouting !== undefined) {
      undo.push('rules', () => removeRules(pod, spec.index, podAddresses(settled)))
    }
    await timed('configure', () => configureLink(pod, netns, { ...spec, mac }, settled, config.layer3, more))
    if (config.layer3.dad === 'wait') await timed('detection', () => awaitDetection(pod, spec, settled))

    // The kernel has worked beside the disk: a power cut takes both away together.
    await timed('disk', () => durable)
    const attached = { name: spec.name, mac, mtu: config.mtuBytes ?? master.mtuBytes, sandbox: request.netnsPath }
    return {
      interfaces: [attached],
      ips: settled.ips.map((ip) => ({ ...ip, interface: 0 })),
      routes: result.routes,
      dns: dnsFor(request, result),
    }
  })
}
