/** Configuring a link in a pod's namespace: sysctls first, then addresses, up, routes and rules in one send. */
import { type Cidr, formatCidr, type Ip, sameIp } from '../shared/address.ts'
import { monotonicMs, pause } from '../shared/clock.ts'
import { CniError } from '../shared/cni/errors.ts'
import type { Result } from '../shared/cni/result.ts'
import { addAddress, listAddresses } from '../shared/host/addresses.ts'
import { SystemError } from '../shared/host/libc.ts'
import { setLinkUp } from '../shared/host/links.ts'
import type { NetlinkSocket, Step } from '../shared/host/netlink.ts'
import { insideNetns, type Netns } from '../shared/host/netns.ts'
import { addRoute } from '../shared/host/routes.ts'
import { addRule, listRules, removeRule } from '../shared/host/rules.ts'
import { setNetSysctl } from '../shared/host/sysctl.ts'
import type { Layer3 } from './layer3.ts'
import { readAddress, routingOf } from './routing.ts'

/**
 * What must be true of the link before it is up. Router advertisements would add addresses that no IPAM knows of; the
 * notify ones make the kernel announce the addresses once, so that neighbours forget who had them before.
 */
function setSysctls(name: string, addresses: readonly Cidr[], { acceptRA, announce, dad }: Layer3): void {
  const set = (family: 4 | 6, key: string, value: boolean): void =>
    setNetSysctl(`ipv${family}/conf/${name}/${key}`, value ? '1' : '0')
  if (addresses.length > 0 || acceptRA !== undefined) set(6, 'accept_ra', acceptRA ?? false)
  if (addresses.length === 0) return
  set(4, 'arp_notify', announce)
  if (addresses.every(({ ip }) => ip.family === 4)) return
  // Runtimes switch IPv6 off in namespaces of IPv4 pods; an IPv6 address asked for is the wish to have it here.
  for (const link of ['lo', name]) setNetSysctl(`ipv6/conf/${link}/disable_ipv6`, '0')
  set(6, 'keep_addr_on_down', true)
  set(6, 'ndisc_notify', announce)
  if (dad === 'off') return
  set(6, 'accept_dad', true)
  if (dad === 'optimistic') for (const key of ['optimistic_dad', 'use_optimistic']) set(6, key, true)
}

/** Linux waits up to one second, and asks for one more; a slow machine has some to spare. */
const dadWaitMaxMs = 5000
const dadPollMs = 20

/**
 * Waits until nobody on the wire has claimed the link's IPv6 addresses (RFC 4862 section 5.4). Throws ERR_TAKEN when somebody has,
 * and ERR_TRY_AGAIN when it takes too long.
 */
export async function awaitDetection(
  socket: NetlinkSocket,
  link: { name: string; index: number },
  { ips }: Result,
): Promise<void> {
  const own = ips.map(({ address }) => readAddress(address).ip)
  const deadline = monotonicMs() + dadWaitMaxMs
  for (;;) {
    const listed = listAddresses(socket, link.index).filter(({ ip }) => own.some((one) => sameIp(one, ip)))
    const duplicate = listed.find(({ duplicated }) => duplicated)
    if (duplicate !== undefined) {
      const why = 'duplicate address detection found it in use on the wire'
      throw new CniError('ERR_TAKEN', `Cannot use address "${formatCidr(duplicate)}" on "${link.name}": ${why}`)
    }
    const waiting = listed.find(({ tentative }) => tentative)
    if (waiting === undefined) return
    if (monotonicMs() >= deadline) {
      const why = `duplicate address detection is not done after ${dadWaitMaxMs} ms; has its master a carrier?`
      throw new CniError('ERR_TRY_AGAIN', `Cannot use address "${formatCidr(waiting)}" on "${link.name}": ${why}`)
    }
    await pause(dadPollMs)
  }
}

interface Configured {
  readonly name: string
  readonly index: number
  /** Where it has one of its own. */
  readonly mac: string | undefined
}

/** What the kernel refused, in an error that names the link. */
function explain(error: unknown, { name, mac }: Configured, { ips, routes }: Result): unknown {
  if (!(error instanceof SystemError)) return error
  const details = JSON.stringify({ ips, routes })
  // Two links of one master cannot be up with the same MAC.
  const why =
    error.code === 'EADDRINUSE' && mac !== undefined
      ? `mac "${mac}" is in use on its master: ${error.message}`
      : error.message
  return new CniError('ERR_KERNEL', `Cannot configure "${name}": ${why}`, { details, cause: error })
}

/** What is sent before the link is up, and after that. */
function stepsOf(
  { index }: Configured,
  result: Result,
  layer3: Layer3,
): { readonly first: Step[]; readonly last: Step[] } {
  const { routes, rules } = routingOf(result, layer3, index)
  return {
    first: result.ips.map(({ address }) => addAddress(index, readAddress(address), layer3.dad)),
    last: [...routes.map((route) => addRoute(index, route)), ...rules.map(addRule)],
  }
}

const prepare = (netns: Netns, { name }: Configured, { ips }: Result, layer3: Layer3): void => {
  const addresses = ips.map(({ address }) => readAddress(address))
  insideNetns(netns, () => setSysctls(name, addresses, layer3))
}

/**
 * Gives the link its addresses, routes and rules and sets it up, with `more` in the same send. Throws ERR_KERNEL with the kernel's words.
 */
export function configureLink(
  socket: NetlinkSocket,
  netns: Netns,
  link: Configured,
  result: Result,
  layer3: Layer3,
  more: readonly Step[] = [],
): void {
  const { first, last } = stepsOf(link, result, layer3)
  try {
    prepare(netns, link, result, layer3)
    // Addresses before up: what the kernel announces at that moment, and takes into use without a wait, is them.
    socket.batch([...first, setLinkUp(link.index), ...last, ...more])
  } catch (error) {
    throw explain(error, link, result)
  }
}

/** As configureLink, for a link of hardware, which is long in setting up, and may have to be asked again: `setUp` does it, and is waited for. */
export async function configureSlowLink(
  socket: NetlinkSocket,
  netns: Netns,
  link: Configured,
  result: Result,
  layer3: Layer3,
  setUp: () => Promise<void>,
): Promise<void> {
  const { first, last } = stepsOf(link, result, layer3)
  try {
    prepare(netns, link, result, layer3)
    socket.batch(first)
    await setUp()
    // Each rule once: the kernel keeps a second one of the same beside the first.
    socket.batch(last)
  } catch (error) {
    throw explain(error, link, result)
  }
}

/**
 * Removes the rules that lead to a link: they do not go with it. Ours are known by their maker, and by the link's own table or
 * one of its addresses.
 */
export function removeRules(socket: NetlinkSocket, linkIndex: number, addresses: readonly Ip[]): void {
  const isOfLink = ({ own, table, direction, ip }: ReturnType<typeof listRules>[number]): boolean =>
    own && (table === linkIndex || (direction === 'from' && addresses.some((one) => sameIp(one, ip))))
  socket.batch(listRules(socket).filter(isOfLink).map(removeRule))
}
