/** CHECK: what ADD answered is still true. Each failure names what differs. */
import { CniError } from '../../shared/cni/errors.ts'
import type { Request } from '../../shared/cni/request.ts'
import { parseResult, type ResultInterface } from '../../shared/cni/result.ts'
import { findLink, type Link } from '../../shared/host/links.ts'
import { NetlinkSocket } from '../../shared/host/netlink.ts'
import { insideNetns, openNetns } from '../../shared/host/netns.ts'
import { checkClaim } from '../addresses.ts'
import type { Deps } from '../deps.ts'
import { checkLayer3, checkSandbox, differ } from '../layer3-check.ts'
import { type ChildConfig, withPlan } from './config.ts'
import type { ChildKind } from './kind.ts'
import { findMaster } from './master.ts'

function checkLink<Config extends ChildConfig>(
  kind: ChildKind<Config>,
  link: Link,
  config: Config,
  master: Link,
  attached: ResultInterface,
): void {
  const name = `"${link.name}"`
  if (link.kind !== kind.name)
    differ(`Link ${name}`, `a ${link.kind || 'physical'} link`, `a link of kind ${kind.name}`)
  if (kind.modeOf(link) !== config.mode) differ(`Mode of ${name}`, String(kind.modeOf(link)), config.mode)
  if (link.parentIndex !== master.index) differ(`Master of ${name}`, `link ${link.parentIndex}`, `"${master.name}"`)
  // One that has its master's MAC has another one when the master has.
  const mac = kind.hasOwnMac ? attached.mac : master.mac
  if (mac !== undefined && link.mac !== mac.toLowerCase()) differ(`MAC of ${name}`, link.mac, mac)
  const mtuBytes = config.mtuBytes ?? attached.mtu
  if (mtuBytes !== undefined && link.mtuBytes !== mtuBytes) {
    differ(`MTU of ${name}`, String(link.mtuBytes), String(mtuBytes))
  }
  if (!link.up) differ(`State of ${name}`, 'down', 'up')
}

/** By its recorded index, whatever it is called by now; one that was imported was made by another plugin and has only a name. */
function findOwnLink(socket: NetlinkSocket, { key }: Request, { store }: Deps): Link | undefined {
  const recorded = store.find(key)?.link
  return findLink(socket, recorded === undefined ? { name: key.ifName } : { index: recorded.index })
}

export async function check<Config extends ChildConfig>(
  kind: ChildKind<Config>,
  request: Request,
  deps: Deps,
): Promise<void> {
  const { config } = withPlan(kind.readConfig(request), request, deps)
  if (request.config.prevResult === undefined) throw new CniError('ERR_CONFIG', 'required prevResult missing')
  const previous = parseResult(request.config.prevResult, request.version)
  const { ifName } = request.key
  const attached = previous.interfaces.find(({ name }) => name === ifName)
  if (attached === undefined) throw new CniError('ERR_CHECK', `prevResult has no interface "${ifName}"`)

  using netns = openNetns(request.netnsPath, request.netnsOverride, deps.root)
  using host = deps.openHost()
  using pod = insideNetns(netns, () => new NetlinkSocket())
  const link = findOwnLink(pod, request, deps) ?? differ(`Link "${ifName}"`, 'absent', `in "${request.netnsPath}"`)
  checkSandbox(attached.sandbox, netns, deps)
  const master = findMaster(config.masterInContainer ? pod : host, config)
  if (master.own === 'missing') differ(`Master "${master.name}"`, 'absent', 'there')
  checkLink(kind, link, config, master, attached)
  checkLayer3(pod, link, previous, config.layer3)
  if (config.hostAccess) kind.hostAccess?.check({ host, pod, master }, link, previous, config.layer3)
  await checkClaim(request, deps, previous)
}
