/** The plugins that need no hardware. What only berth-sriov needs, they do not wait for (docs/decisions/004-packaging.md). */
import type { Plugin } from './deps.ts'
import { ipamPlugin } from './ipam/plugin.ts'
import { ipvlanPlugin } from './ipvlan/plugin.ts'
import { macvlanPlugin } from './macvlan/plugin.ts'
import type { PluginName } from './names.ts'

export const usualPlugins: Readonly<Record<Exclude<PluginName, 'berth-sriov'>, Plugin>> = {
  'berth-macvlan': macvlanPlugin,
  'berth-ipvlan': ipvlanPlugin,
  'berth-ipam': ipamPlugin,
}
