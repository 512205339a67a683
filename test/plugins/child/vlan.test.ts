import { describe, expect, it } from 'vitest'
import { isOwnVlan, splitVlanName } from '../../../plugins/child/vlan.ts'
import type { Link } from '../../../shared/host/links.ts'

describe('splitVlanName()', () => {
  it.each([
    ['enp6s0.20', 'enp6s0', 20],
    ['eth0.1', 'eth0', 1],
    ['eth0.0020', 'eth0', 20],
    ['bond0.100.4094', 'bond0.100', 4094],
  ])('reads %s', (name, parent, id) => {
    expect(splitVlanName(name)).toEqual({ parent, id })
  })

  it.each(['enp6s0', 'eth0.', '.20', 'eth0.0', 'eth0.4095', 'eth0.20x', 'eth0.-1', 'eth0.00020', ''])(
    'finds no VLAN in "%s"',
    (name) => {
      expect(splitVlanName(name)).toBeUndefined()
    },
  )
})

describe('isOwnVlan()', () => {
  const link = (index: number, kind = 'vlan'): Link => ({
    index,
    kind,
    name: 'eth0.20',
    permanentMac: undefined,
    mac: '02:00:00:00:00:01',
    mtuBytes: 1500,
    up: true,
    carrier: true,
    parentIndex: 2,
    parentElsewhere: false,
    macvlanMode: undefined,
    ipvlanMode: undefined,
    masterIndex: 0,
    vlanId: 20,
  })

  it('knows VLAN links by their index, and no other link', () => {
    expect([2 ** 29 - 1, 2 ** 29, 2 ** 30 - 1, 2 ** 30].map((index) => isOwnVlan(link(index)))).toEqual([
      false,
      true,
      true,
      false,
    ])
    expect(isOwnVlan(link(2 ** 29, 'macvlan'))).toBe(false)
  })
})
