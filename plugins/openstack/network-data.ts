/** What Nova tells an instance of its links (network_data.json): which one a Neutron network is behind. Pure. */
import { CniError } from '../../shared/cni/errors.ts'
import { keyed, optionalText, readKeys, text, textOrNone, texts } from '../../shared/cni/keys.ts'
import * as z from '../../shared/cni/schema.ts'

/** A port of the instance: the MAC of its link, and the VLAN in which it is on that link. */
export interface Port {
  /** Lower case, colons. */
  readonly mac: string
  /** 0: none. */
  readonly vlan: number
  /** The MAC that it is to have in that VLAN, where it is another one than the link's. */
  readonly vlanMac: string | undefined
}

/** Made when it is first needed: few nodes ever need it. */
const makeSchema = () =>
  keyed({
    links: z.array(
      keyed({
        id: text,
        type: textOrNone,
        ethernet_mac_address: optionalText,
        vlan_link: optionalText,
        vlan_mac_address: optionalText,
        vlan_id: z.optional(z.int(z.gte(1), z.lte(4094))),
        bond_links: z.optional(texts),
      }),
    ),
    networks: z.array(keyed({ id: text, link: textOrNone, network_id: optionalText })),
  })
type NetworkData = z.output<ReturnType<typeof makeSchema>>
type DataLink = NetworkData['links'][number]

const macText = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/
const macIn = (text: string | undefined): string | undefined => text?.toLowerCase().replaceAll('-', ':')

const namesOf = (names: Iterable<string>): string => [...new Set(names)].map((name) => `"${name}"`).join(', ') || 'none'

/**
 * The port that is in a Neutron network. `path` is what messages call the file. Throws ERR_CONFIG when the text is no network data,
 * knows no such network or more than one port in it, or when its link is a bond.
 */
export function portOfNetwork(data: unknown, uuid: string, path: string): Port {
  const where = `"${path}"`
  const refuse = (why: string): never => {
    throw new CniError('ERR_CONFIG', `Cannot find OpenStack network "${uuid}": ${why}`)
  }
  const { links, networks } = readKeys(makeSchema(), data, path)
  const known = networks.map(({ network_id: id = '' }) => id.toLowerCase())
  // A network with two families stands there twice, on one link.
  const ids = new Set(networks.filter((_, index) => known[index] === uuid).map(({ link }) => link))
  const [id] = ids
  if (id === undefined) return refuse(`${where} has no such network, its networks are ${namesOf(known)}`)
  if (ids.size > 1) return refuse(`${where} has more than one port in it: links ${namesOf(ids)}`)
  const linkOf = (wanted: string): DataLink =>
    links.find((link) => link.id === wanted) ?? refuse(`${where} has no link "${wanted}"`)
  const link = linkOf(id)
  const isVlan = link.vlan_link !== undefined && link.vlan_id !== undefined
  const below = isVlan ? linkOf(link.vlan_link ?? '') : link
  if (below.type === 'bond' || below.bond_links !== undefined) {
    return refuse(`its link "${below.id}" is a bond in ${where}: name the bond's own link`)
  }
  const mac = macIn(below.ethernet_mac_address)
  if (mac === undefined) return refuse(`link "${below.id}" has no MAC in ${where}`)
  if (!isVlan) return { mac, vlan: 0, vlanMac: undefined }
  const ofVlan = link.vlan_mac_address
  const vlanMac = macIn(ofVlan)
  if (vlanMac !== undefined && !macText.test(vlanMac)) {
    return refuse(`the vlan_mac_address of link "${link.id}" is ${JSON.stringify(ofVlan)} in ${where}, and no MAC`)
  }
  return { mac, vlan: link.vlan_id ?? 0, vlanMac: vlanMac === mac ? undefined : vlanMac }
}
