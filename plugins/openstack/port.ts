/** Links named by the OpenStack network that they are in: `openstack:<UUID>`, by way of the instance's metadata and the MAC. */
import { readdirSync } from 'node:fs'
import { CniError } from '../../shared/cni/errors.ts'
import { isErrno } from '../../shared/disk.ts'
import { insideConfigDrive, isRefusal } from '../../shared/host/config-drive.ts'
import { type Link, listLinks } from '../../shared/host/links.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'
import { pathUnder } from '../../shared/host/under-root.ts'
import { messageOf } from '../../shared/message.ts'
import { readUserFile } from '../../shared/user-file.ts'
import { Declined } from '../deps.ts'
import { type Port, portOfNetwork } from './network-data.ts'

const prefix = 'openstack:'
const uuidText = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const fileMaxBytes = 4 * 1024 * 1024

/** Where the metadata of the instance is looked for. */
export interface MetadataPlace {
  /** A folder that has it; undefined: the config drive. */
  readonly folder: string | undefined
  /** What leads to the caller's root directory. */
  readonly root: string
}

/** What the key of that folder means, for the README's tables (scripts/tables.ts). */
export const metadataKeyDoc =
  'folder with the metadata of the OpenStack instance (`openstack/latest/network_data.json` or `network_data.json`); none: the config drive'

/** Whether the name of a link is that of an OpenStack network. */
export const isOpenstackName = (name: string): boolean => name.startsWith(prefix)

/** The folders that have a network_data.json of their own, the newest first: `latest` is what Nova calls it, or else dates. */
function versions(folder: string, root: string): string[] {
  try {
    const names = readdirSync(pathUnder(root, `${folder}/openstack`))
    return [
      'latest',
      ...names
        .filter((name) => /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(name))
        .sort()
        .reverse(),
    ]
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return []
    throw new CniError('ERR_IO', `Cannot read "${folder}/openstack": ${messageOf(error)}`, { cause: error })
  }
}

/** The port, by the first network_data.json below the folder, which messages call `shown`; undefined when there is none. */
function portIn(folder: string, shown: string, root: string, uuid: string): Port | undefined {
  const places = [...versions(folder, root).map((version) => `openstack/${version}/`), '']
  for (const place of places) {
    const name = `${place}network_data.json`
    const found = readUserFile('the metadata', `${folder}/${name}`, fileMaxBytes, root)
    if (found === undefined) continue
    let data: unknown
    try {
      data = JSON.parse(found)
    } catch (error) {
      throw new CniError('ERR_CONFIG', `Cannot read "${shown}/${name}": ${messageOf(error)}`, { cause: error })
    }
    return portOfNetwork(data, uuid, `${shown}/${name}`)
  }
  return undefined
}

/** Undefined when there is no drive. An agent whose container may not read it leaves the call to the program, which is in the node's. */
function onConfigDrive(uuid: string, root: string): { readonly found: Port | undefined } | undefined {
  try {
    return insideConfigDrive(root, (drive) => ({ found: portIn(drive, 'config drive', '', uuid) }))
  } catch (error) {
    // Who has another root directory is not this process's own.
    if (root !== '' && isRefusal(error)) throw new Declined()
    throw error
  }
}

function findPort(uuid: string, { folder, root }: MetadataPlace): Port {
  const refuse = (why: string): never => {
    throw new CniError('ERR_CONFIG', `Cannot find OpenStack network "${uuid}": ${why}`)
  }
  if (folder !== undefined) {
    return portIn(folder, folder, root, uuid) ?? refuse(`no network_data.json is in "${folder}" (openstackMetadata)`)
  }
  const port = onConfigDrive(uuid, root)
  if (port === undefined) {
    const hint = 'and the metadata service at 169.254.169.254 is not asked'
    return refuse(`no disk is labelled "config-2", no "openstackMetadata" names a folder, ${hint}`)
  }
  return port.found ?? refuse('no network_data.json is on the config drive')
}

/** Kinds that have the MAC of a link below them. */
const stacked = [
  'vlan',
  'macvlan',
  'macvtap',
  'ipvlan',
  'ipvtap',
  'bridge',
  'bond',
  'team',
  'macsec',
  'vrf',
  'openvswitch',
]

/** The port of the instance in the OpenStack network that `name` names. Throws ERR_CONFIG that names the network, and ERR_IO. */
export function openstackPort(name: string, place: MetadataPlace): Port {
  const uuid = uuidOf(name)
  if (uuidText.test(uuid)) return findPort(uuid, place)
  const why = `write "${prefix}" and the UUID of a Neutron network`
  throw new CniError('ERR_CONFIG', `Cannot read ${JSON.stringify(name)}: ${why}`)
}

const uuidOf = (name: string): string => name.slice(prefix.length).toLowerCase()

/**
 * The link of the OpenStack network that `name` names, in the socket's namespace, the VLAN of the port on it, 0 for none, and its MAC there. Throws
 * ERR_CONFIG that names the network, and says where it was looked for; ERR_IO when metadata cannot be read.
 */
export function findOpenstackLink(
  socket: NetlinkSocket,
  name: string,
  place: MetadataPlace,
): { readonly link: Link } & Pick<Port, 'vlan' | 'vlanMac'> {
  const { mac, vlan, vlanMac } = openstackPort(name, place)
  const links = listLinks(socket).filter(({ kind }) => !stacked.includes(kind))
  // The NIC's own comes first: members of a bond have that of one of them, and anybody may give a link another one.
  const byOwn = links.filter(({ permanentMac }) => permanentMac === mac)
  const [link, ...others] = byOwn.length > 0 ? byOwn : links.filter((one) => one.mac === mac)
  if (link !== undefined && others.length === 0) return { link, vlan, vlanMac }
  const names = [link, ...others].map((one) => `"${one?.name}"`).join(' and ')
  const why = link === undefined ? `no link has its MAC ${mac}` : `links ${names} have its MAC ${mac}`
  throw new CniError('ERR_CONFIG', `Cannot find OpenStack network "${uuidOf(name)}": ${why}`)
}
