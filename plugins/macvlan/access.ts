/**
 * Host access, as values: a macvlan's parent never hears its children, so the node gets a child of its own beside them
 * (docs/decisions/008-host-access.md). Each side is told where the other is, and nobody asks the wire. Pure.
 *
 *   node:  <pod address>/32 dev berth5 src <node address>    and the neighbour <pod address> at the pod's MAC
 *   pod:   the neighbour <node address> at the MAC of berth5, and a route to it where no subnet of the pod has it
 */
import { type Cidr, cidrSpan, type Family, familyBits, type Ip, sameIp, spanContains } from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import type { Result } from '../../shared/cni/result.ts'
import { formatMac, type Link, macBytes } from '../../shared/host/links.ts'
import type { KernelRoute } from '../../shared/host/routes.ts'
import type { Rule } from '../../shared/host/rules.ts'
import type { Layer3 } from '../layer3.ts'
import { kernelRoutes, readAddress } from '../routing.ts'
import type { MacvlanConfig } from './config.ts'

/** Throws ERR_CONFIG for a config with which node and pod could never reach each other. */
export function refuseNoAccess({ mode, masterInContainer, ipamType }: MacvlanConfig): void {
  const refuse = (why: string): never => {
    throw new CniError('ERR_CONFIG', `Cannot use hostAccess: ${why}`)
  }
  if (mode !== 'bridge') refuse(`in mode "${mode}" the links of a master do not reach each other`)
  if (masterInContainer) refuse("with linkInContainer the master is not the node's")
  if (ipamType === undefined) refuse('without ipam the link has no address')
}

/** The name of the node's own link on a master: the longest index leaves it at 15 bytes, which is all that Linux takes. */
export const hostLinkName = (masterIndex: number): string => `berth${masterIndex}`

const hostLinkBit = 2 ** 30

/** Its index, which nobody has to look up: made of the master's, and far above those of pods' links (shared/host/random.ts). */
export const hostLinkIndex = (masterIndex: number): number => masterIndex ^ hostLinkBit

/** Throws ERR_CONFIG for a master that is itself such a link, or has the index of one. */
export function refuseHostLink({ name, index }: Link): void {
  if (index < hostLinkBit) return
  throw new CniError(
    'ERR_CONFIG',
    `Cannot use hostAccess with master "${name}": its index ${index} is that of a link of hostAccess`,
  )
}

/**
 * The MAC of the node's own link: the same again whenever it is made, because pods keep it in mind. The master's with the
 * locally administered bit set and another one turned, which no NIC's own has.
 */
export function hostLinkMac(masterMac: string): string {
  const [first = 0, ...rest] = macBytes(masterMac)
  return formatMac(Uint8Array.of((first | 0x02) ^ 0x40, ...rest))
}

const wholeOf = (ip: Ip): Cidr => ({ ip, prefix: familyBits(ip.family) })
const subnetsOf = ({ ips }: Result): Cidr[] => ips.map(({ address }) => readAddress(address))
const contains = (subnet: Cidr, ip: Ip): boolean => spanContains(cidrSpan(subnet), ip)

export const podAddresses = (result: Result): Ip[] => subnetsOf(result).map(({ ip }) => ip)

export const familiesOf = (result: Result): Family[] => [...new Set(podAddresses(result).map(({ family }) => family))]

/** The node's routes to the pod's addresses, of the families that the node has itself. */
export function hostRoutes(result: Result, nodeAddresses: readonly Ip[]): KernelRoute[] {
  return subnetsOf(result).flatMap((address) => {
    const own = nodeAddresses.filter(({ family }) => family === address.ip.family)
    // The pod knows best the one that is in its own subnet.
    const source = own.find((ip) => contains(address, ip)) ?? own[0]
    return source === undefined ? [] : [{ destination: wholeOf(address.ip), gateway: undefined, source }]
  })
}

/** Whether the result's own routes, without source routing, lead what goes to `ip` to the link's gateway. */
const isLedAway = (result: Result, { sourceRouting }: Layer3, ip: Ip): boolean =>
  sourceRouting === undefined &&
  kernelRoutes(result).some(({ destination, table }) => table === undefined && contains(destination, ip))

interface PodRouting {
  readonly routes: readonly KernelRoute[]
  readonly rules: readonly Rule[]
}

/** After the rules of the tables that every namespace has, main and default (32766 and 32767). */
const lastPriority = 32768

/**
 * How the pod finds those of the node's addresses that no subnet of its link has: by the source, so that only answers and calls
 * of the link's own addresses take this way. A kubelet's call to another address of the pod is answered where it came from.
 * What has no source yet takes it when the main table leads nowhere, or to this link's own gateway.
 */
export function podRouting(
  result: Result,
  layer3: Layer3,
  linkIndex: number,
  nodeAddresses: readonly Ip[],
): PodRouting {
  const { sourceRouting } = layer3
  const table = sourceRouting?.table || linkIndex
  const addresses = subnetsOf(result)
  const distant = nodeAddresses.filter((ip) => !addresses.some((subnet) => contains(subnet, ip)))
  const ledAway = distant.filter((ip) => isLedAway(result, layer3, ip))
  const otherwise = distant.filter((ip) => !ledAway.includes(ip))
  // Source routing has the same ones.
  const sources = sourceRouting === undefined ? addresses.map(({ ip }) => ip) : []
  const through = (ip: Ip, inTable?: number): KernelRoute => ({
    destination: wholeOf(ip),
    gateway: undefined,
    table: inTable,
  })
  return {
    routes: [
      ...distant.map((ip) => through(ip, table)),
      ...ledAway.map((ip) => through(ip)),
      // What a rule finds last is in the link's own table: by its number DEL knows the rule.
      ...(table === linkIndex ? [] : otherwise.map((ip) => through(ip, linkIndex))),
    ],
    rules: [
      ...sources
        .filter(({ family }) => distant.some((ip) => ip.family === family))
        .map((ip) => ({ direction: 'from', ip, table }) as const),
      ...otherwise.map((ip) => ({ direction: 'to', ip, table: linkIndex, priority: lastPriority }) as const),
    ],
  }
}

/** A recorded attachment's part in a host link, or that of one whose record is gone. */
export interface Party {
  readonly mac: string | undefined
  readonly addresses: readonly Ip[]
}

/** Whether what the node was told of `ip` is of this attachment. One address may have gone from one pod to another: its MAC tells. */
export const isPartyOf = ({ mac, addresses }: Party, neighbour: { ip: Ip; mac: string }): boolean =>
  mac === neighbour.mac || addresses.some((ip) => sameIp(ip, neighbour.ip))
