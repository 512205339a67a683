/** Names of other plugins that ours answer to as well, so that configs need not change: which of ours each one means. */
const aliases: Readonly<Record<string, string>> = {
  macvlan: 'berth-macvlan',
  ipvlan: 'berth-ipvlan',
  sriov: 'berth-sriov',
  whereabouts: 'berth-ipam',
  'host-local': 'berth-ipam',
  static: 'berth-ipam',
}

export const aliasNames = Object.keys(aliases)

/** Our name for an alias; any other name is itself. */
export const ownName = (name: string): string => (Object.hasOwn(aliases, name) ? (aliases[name] ?? name) : name)

/** Where the installer keeps what it puts into a folder of plugins; names there link to the version that counts. */
export const ownFolder = '.berth'
export const currentName = 'current'
export const linkTarget = (name: string): string => `${ownFolder}/${currentName}/${name}`
