/** ADD: claim -> create -> configure -> result. Every step that changes something pushes its undo. */
import { CniError } from '../../shared/cni/errors.ts'
import type { Request } from '../../shared/cni/request.ts'
import { type Result, versionCarriesNoAddress } from '../../shared/cni/result.ts'
import { SystemError } from '../../shared/host/libc.ts'
import { createMacvlan, deleteLink, findLink, type Link, type MacvlanSpec } from '../../shared/host/links.ts'
import { NetlinkSocket } from '../../shared/host/netlink.ts'
import { insideNetns, openNetns } from '../../shared/host/netns.ts'
import { randomLinkIndex, randomMac } from '../../shared/host/random.ts'
import { timed } from '../../shared/log.ts'
import { Undo } from '../../shared/undo.ts'
import { claimFor, isForeign, planFor } from '../addresses.ts'
import { configureLink } from '../configure.ts'
import type { Deps } from '../deps.ts'
import { settleAddresses } from '../settle.ts'
import { type MacvlanConfig, macvlanConfig } from './config.ts'
import { findMaster } from './master.ts'

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

export async function add(request: Request, deps: Deps): Promise<Result> {
  const written = macvlanConfig(request)
  const plan = planFor(request)
  const config = { ...written, mtuBytes: written.mtuBytes ?? plan.link.mtuBytes }
  if (config.ipamType === undefined && !versionCarriesNoAddress(request.version)) {
    throw new CniError(
      'ERR_CONFIG',
      `Cannot attach without ipam: cniVersion "${request.version}" has no result without an address`,
    )
  }
  using _held = deps.store.hold(request.key)
  using netns = openNetns(request.netnsPath, request.netnsOverride)
  using host = new NetlinkSocket()
  using pod = insideNetns(netns, () => new NetlinkSocket())
  const home = config.masterInContainer ? pod : host
  const master = findMaster(home, config)
  checkAgainstMaster(config, master)
  // A foreign IPAM may take a second ADD of a living attachment for a new one, so it must not get to see it. Ours knows
  // better, and the kernel finds out without being asked.
  if (isForeign(request) && findLink(pod, { name: request.key.ifName }) !== undefined)
    refuseTakenName(request.key.ifName)
  const inherited = config.mode === 'passthru' ? master.mac : undefined
  const chosen = { index: randomLinkIndex(), mac: inherited ?? config.mac ?? randomMac() }

  return await Undo.guard(async (undo) => {
    const { result, link, fresh } = await timed('claim', () => claimFor(request, deps, plan, netns, chosen, undo))
    const mac = inherited ?? config.mac ?? link.mac
    const spec: MacvlanSpec = {
      name: request.key.ifName,
      index: link.index,
      parentIndex: master.index,
      mode: config.mode,
      mac,
      mtuBytes: config.mtuBytes,
      broadcastQueueLength: config.broadcastQueueLength,
      netns: config.masterInContainer ? undefined : netns,
    }
    const undoCreate = (): void => undo.push('create', () => void deleteLink(pod, spec.index))
    // The index is this call's own choice: pushed before the message is sent, the undo is right even if its answer is lost.
    // An index recorded by an earlier call may be that of a living link until the kernel has agreed to a new one.
    if (fresh) undoCreate()
    await timed('create', () => create(home, spec, master))
    if (!fresh) undoCreate()
    const settled = plan.probe
      ? await timed('probe', () => settleAddresses(request, deps, plan, netns, pod, spec, result))
      : result
    await timed('configure', () => configureLink(pod, netns, spec, settled))

    const attached = { name: spec.name, mac, mtu: config.mtuBytes ?? master.mtuBytes, sandbox: request.netnsPath }
    return {
      interfaces: [attached],
      ips: settled.ips.map((ip) => ({ ...ip, interface: 0 })),
      routes: result.routes,
      dns: Object.keys(result.dns).length > 0 ? result.dns : (request.config.dns ?? {}),
    }
  })
}
