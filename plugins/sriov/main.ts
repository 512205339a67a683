/**
 * The program text of berth-sriov. It has the other plugins too: its code cache is made by their calls, which need no hardware, and
 * most of an ADD is the same for all.
 */
import { allPlugins } from '../all.ts'
import { main as plugin } from '../main.ts'

/** As that of the other plugins. */
export const main = (name: string, version: string): Promise<number> => plugin(name, version, allPlugins)
