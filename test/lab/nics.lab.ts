/** The lab's own guard: what other tests rely on is there, and a VF that is left changed makes a test fail. */
import { expect, test } from 'vitest'
import { ip } from '../e2e/host.ts'
import { BoundVf, driverOf, LabHost, linkOf, pciOf, pf, vfAttributes, vfState } from './guest.ts'

test('the PF has seven VFs, each with a link on the node', () => {
  expect(vfAttributes()).toHaveLength(7)
  const links = vfAttributes().map(({ vf }) => linkOf(pciOf(vf)))
  expect(new Set(links).size).toBe(7)
  expect(vfAttributes().map(({ vf }) => driverOf(pciOf(vf)))).toEqual(Array(7).fill('igbvf'))
})

test('BoundVf binds a VF to vfio-pci for the length of a test, and gives back the link as it was', () => {
  const before = vfState(6)
  {
    using vf = new BoundVf(6)
    expect(driverOf(vf.pci)).toBe('vfio-pci')
    expect(linkOf(vf.pci)).toBeUndefined()
  }
  expect(vfState(6)).toEqual(before)
})

test('LabHost complains when a test leaves an attribute of a VF changed', () => {
  const host = new LabHost()
  ip('link', 'set', pf, 'vf', '2', 'vlan', '20', 'qos', '3')
  expect(() => host[Symbol.dispose]()).toThrow(/left behind: VF 2: .*"vlan":20,"qos":3/)
  ip('link', 'set', pf, 'vf', '2', 'vlan', '0')
})
