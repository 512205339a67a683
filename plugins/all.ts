/** All plugins: for berth-sriov's own text, and for the agent. */
import type { Plugin } from './deps.ts'
import type { PluginName } from './names.ts'
import { sriovPlugin } from './sriov/plugin.ts'
import { usualPlugins } from './usual.ts'

export const allPlugins: Readonly<Record<PluginName, Plugin>> = { ...usualPlugins, 'berth-sriov': sriovPlugin }
