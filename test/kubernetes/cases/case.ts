/** A case: a line of the table, run once in each column. */

import type { Rig } from '../rig.ts'
import type { Column } from '../table.ts'

export interface Case {
  readonly title: string
  readonly run: (rig: Rig, column: Column) => void
}

/** A network of ours on the node's NIC; `more` replaces its keys. Its name is the NAD's, which Multus gives to a config without one. */
export const macvlan = (range: string, more: object = {}): object => ({
  cniVersion: '1.1.0',
  type: 'berth-macvlan',
  master: 'nic0',
  ipam: { type: 'berth-ipam', range },
  ...more,
})
