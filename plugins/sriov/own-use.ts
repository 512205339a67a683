/** What the node itself uses an interface for: such a one is never taken from it. */
import { listAddresses } from '../../shared/host/addresses.ts'
import { type Link, listLinks } from '../../shared/host/links.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'
import { listRoutes } from '../../shared/host/routes.ts'

/** fe80::/10, which every link has by itself. */
const isLinkLocal = ({ ip }: ReturnType<typeof listAddresses>[number]): boolean =>
  ip.family === 6 && ip.value >> 118n === 0xfe80n >> 6n

/** Whether other links of the node need it: it is a port of one, or has one on it. Undefined: none does. */
function linkUse({ index, masterIndex }: Link, links: readonly Link[]): string | undefined {
  const nameOf = (wanted: number): string => links.find((one) => one.index === wanted)?.name ?? `link ${wanted}`
  if (masterIndex !== 0) return `it is a port of "${nameOf(masterIndex)}"`
  const above = links.find((one) => one.parentIndex === index && !one.parentElsewhere && one.index !== index)
  return above === undefined ? undefined : `"${above.name}" is on it`
}

type UseOf = (link: Link) => string | undefined

/** Looks once at the node's links. Tells of one whether other links need it, and how. */
export function linkUses(host: NetlinkSocket): UseOf {
  const links = listLinks(host)
  return (link) => linkUse(link, links)
}

/** As linkUses, and whether the node has an address or its default route on it. */
export function ownUses(host: NetlinkSocket): UseOf {
  const ofLinks = linkUses(host)
  const defaults = ([4, 6] as const)
    .flatMap((family) => listRoutes(host, family))
    .filter(({ destination }) => destination.prefix === 0)
  const addresses = listAddresses(host).filter((one) => !isLinkLocal(one))
  return (link) => {
    if (defaults.some(({ linkIndex }) => linkIndex === link.index)) return "the node's default route leads through it"
    if (addresses.some(({ linkIndex }) => linkIndex === link.index)) return 'the node has an address on it'
    return ofLinks(link)
  }
}
