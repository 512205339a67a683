/** The CNI `type`s that this program answers to. By itself: who only asks for a name loads no plugin. */
import { ownName } from '../shared/aliases.ts'

const names = ['berth-macvlan', 'berth-ipvlan', 'berth-sriov', 'berth-ipam'] as const

export type PluginName = (typeof names)[number]
export const pluginNames: readonly string[] = names

/** Also for an alias of one that there is: nobody calls the program by it who was not installed as it. */
export const isPluginName = (name: string): boolean => pluginNames.includes(ownName(name))
