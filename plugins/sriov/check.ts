/** CHECK: what ADD answered is still true, in the pod and on the PF. Each failure names what differs. */
import { describeKey } from '../../shared/attachment.ts'
import { CniError } from '../../shared/cni/errors.ts'
import type { Request } from '../../shared/cni/request.ts'
import { parseResult, type ResultInterface } from '../../shared/cni/result.ts'
import { findLink } from '../../shared/host/links.ts'
import type { Netdev } from '../../shared/host/netdevs.ts'
import { NetlinkSocket } from '../../shared/host/netlink.ts'
import { insideNetns, openNetns } from '../../shared/host/netns.ts'
import { attributeKeys, differingFrom, namesOf, readVf, spellAttribute } from '../../shared/host/vf-attributes.ts'
import { findInPod, findPfLink, type Holding, holdingsOf } from '../../vf/index.ts'
import { checkClaim } from '../addresses.ts'
import type { Deps } from '../deps.ts'
import { checkLayer3, checkSandbox, differ } from '../layer3-check.ts'
import { type SriovConfig, sriovConfig, withPlan } from './config.ts'
import { holdingsIn } from './take.ts'

function checkNetdev(netdev: Netdev, config: SriovConfig, { mac, mtu }: ResultInterface): void {
  const name = `"${netdev.name}"`
  if (mac !== undefined && netdev.mac !== mac.toLowerCase()) differ(`MAC of ${name}`, netdev.mac, mac)
  const mtuBytes = config.mtuBytes ?? mtu
  if (mtuBytes !== undefined && netdev.mtuBytes !== mtuBytes) {
    differ(`MTU of ${name}`, String(netdev.mtuBytes), String(mtuBytes))
  }
  if (!netdev.up) differ(`State of ${name}`, 'down', 'up')
  if (config.allMulticast && !netdev.allMulticast) differ(`allmulti of ${name}`, 'off', 'on')
}

/** Each attribute that was asked for, as the PF has it now. */
async function checkAttributes(
  host: NetlinkSocket,
  { address, pf }: Holding,
  config: SriovConfig,
  mac: string | undefined,
): Promise<void> {
  const wanted = { ...config.attributes, mac: config.mac === undefined ? undefined : mac?.toLowerCase() }
  if (pf === undefined || namesOf(wanted).length === 0) return
  const link = findPfLink(host, pf.address) ?? differ(`PF "${pf.address}" of "${address}"`, 'absent', 'there')
  const found = (await readVf({ pfIndex: link.index, pfName: link.name, vf: pf.vf })) ?? {}
  const [name] = namesOf(differingFrom(found, wanted))
  if (name === undefined) return
  const what = `${attributeKeys[name]} of VF ${pf.vf} of "${link.name}"`
  differ(what, spellAttribute(name, found), spellAttribute(name, wanted))
}

/** What the attachment holds. Throws ERR_CHECK when that is nothing, or not what was asked for. */
function findHolding({ key }: Request, deps: Deps, { address }: SriovConfig): Holding {
  const held = holdingsOf(holdingsIn(deps), key)
  const [first] = held
  if (first === undefined) throw new CniError('ERR_CHECK', `Cannot find a VF of ${describeKey(key)}: nothing is held`)
  if (address === undefined) return first
  return (
    held.find((one) => one.address === address) ??
    differ(`VF of ${describeKey(key)}`, `"${first.address}"`, `"${address}"`)
  )
}

export async function check(request: Request, deps: Deps): Promise<void> {
  const { config } = withPlan(sriovConfig(request), request, deps)
  if (request.config.prevResult === undefined) throw new CniError('ERR_CONFIG', 'required prevResult missing')
  const previous = parseResult(request.config.prevResult, request.version)
  const { ifName } = request.key
  const attached = previous.interfaces.find(({ name }) => name === ifName)
  if (attached === undefined) throw new CniError('ERR_CHECK', `prevResult has no interface "${ifName}"`)
  const holding = findHolding(request, deps, config)

  using netns = openNetns(request.netnsPath, request.netnsOverride, deps.root)
  using host = deps.openHost()
  checkSandbox(attached.sandbox, netns, deps)
  if (holding.netdev !== undefined) {
    const absent = (): never => differ(`Link "${ifName}"`, 'absent', `in "${request.netnsPath}"`)
    const netdev = (await findInPod(netns, holding.address, holding.netdev)) ?? absent()
    checkNetdev(netdev, config, attached)
    using pod = insideNetns(netns, () => new NetlinkSocket())
    checkLayer3(pod, findLink(pod, { index: netdev.index }) ?? absent(), previous, config.layer3)
  }
  await checkAttributes(host, holding, config, attached.mac)
  await checkClaim(request, deps, previous)
}
