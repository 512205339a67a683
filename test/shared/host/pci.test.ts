import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import {
  bindDriver,
  isUserSpaceDriver,
  netdevNames,
  parsePciAddress,
  pciAddressOf,
  physicalFunctions,
  readPciDevice,
  unbindDriver,
  virtualFunctions,
} from '../../../shared/host/pci.ts'
import { temporaryDirectory } from '../temporary.ts'

let sys: string

/** A device of a tree as sysfs has it: attributes as files, links as links, interfaces as folders. */
function device(address: string, attributes: object, links: Record<string, string> = {}, netdevs: string[] = []): void {
  const path = `${sys}/bus/pci/devices/${address}`
  mkdirSync(path, { recursive: true })
  for (const [name, text] of Object.entries({ vendor: '0x8086', device: '0x10ca', ...attributes })) {
    writeFileSync(`${path}/${name}`, `${text}\n`)
  }
  for (const [name, target] of Object.entries(links)) symlinkSync(target, `${path}/${name}`)
  for (const name of netdevs) mkdirSync(`${path}/net/${name}`, { recursive: true })
}

const driver = (name: string) => ({ driver: `../../../bus/pci/drivers/${name}` })

beforeEach(() => {
  sys = temporaryDirectory()
  const functions = { virtfn0: '../0000:03:02.0', virtfn1: '../0000:03:02.1', virtfn10: '../0000:03:03.2' }
  device('0000:03:00.0', { sriov_totalvfs: '64' }, { ...driver('ixgbe'), ...functions }, ['eno2'])
  device('0000:03:02.0', {}, { ...driver('ixgbevf'), physfn: '../0000:03:00.0' }, ['eno2v0'])
  device('0000:03:02.1', {}, { ...driver('vfio-pci'), physfn: '../0000:03:00.0' })
  device('0000:03:03.2', {}, { physfn: '../0000:03:00.0' })
  device('0000:05:00.0', { vendor: '0x1af4', device: '0x1000', sriov_totalvfs: '0' }, driver('virtio-pci'))
  mkdirSync(`${sys}/class/net/eno2`, { recursive: true })
  symlinkSync('../../../bus/pci/devices/0000:03:00.0', `${sys}/class/net/eno2/device`)
  mkdirSync(`${sys}/class/net/br0`)
})

describe('parsePciAddress()', () => {
  it.each([
    ['0000:03:02.1', '0000:03:02.1'],
    ['0000:0A:1F.7', '0000:0a:1f.7'],
    ['03:02.1', '0000:03:02.1'],
    ['10000:e1:00.0', '10000:e1:00.0'],
    ['', undefined],
    ['eth0', undefined],
    ['0000:03:02.8', undefined],
    ['0000:03:20.0', undefined],
    ['0000:03:02.1\n', undefined],
    ['../0000:03:02.1', undefined],
  ])('reads %j as %j', (text, address) => {
    expect(parsePciAddress(text)).toBe(address)
  })
})

describe('readPciDevice()', () => {
  it('tells a VF, its PF, its number, its driver and its interface', () => {
    expect(readPciDevice('0000:03:02.0', sys)).toEqual({
      address: '0000:03:02.0',
      vendor: '8086',
      device: '10ca',
      driver: 'ixgbevf',
      isPf: false,
      physical: { address: '0000:03:00.0', vf: 0 },
      netdevs: ['eno2v0'],
    })
    expect(readPciDevice('0000:03:03.2', sys)).toMatchObject({ driver: undefined, physical: { vf: 10 }, netdevs: [] })
  })

  it('tells a PF from a NIC that has no VFs', () => {
    expect(readPciDevice('0000:03:00.0', sys)).toMatchObject({ isPf: true, physical: undefined })
    expect(readPciDevice('0000:05:00.0', sys)).toMatchObject({ isPf: false, physical: undefined, vendor: '1af4' })
  })

  it('knows nothing of a device that is not there', () => {
    expect(readPciDevice('0000:77:00.0', sys)).toBeUndefined()
    expect(netdevNames('0000:77:00.0', sys)).toEqual([])
    expect(virtualFunctions('0000:77:00.0', sys)).toEqual([])
  })

  it('names the uplink first when the PF has representors of its VFs beside it', () => {
    device('0000:06:00.0', { sriov_totalvfs: '8' }, {}, ['a-pf0vf0', 'b-pf0vf1', 'ens6'])
    for (const [name, port] of Object.entries({ 'a-pf0vf0': 'pf0vf0', 'b-pf0vf1': 'pf0vf1', ens6: 'p0' })) {
      writeFileSync(`${sys}/bus/pci/devices/0000:06:00.0/net/${name}/phys_port_name`, `${port}\n`)
    }
    expect(netdevNames('0000:06:00.0', sys)[0]).toBe('ens6')
  })
})

describe('virtualFunctions()', () => {
  it('lists them by their numbers', () => {
    expect(virtualFunctions('0000:03:00.0', sys).map(({ vf, address }) => `${vf} ${address}`)).toEqual([
      '0 0000:03:02.0',
      '1 0000:03:02.1',
      '10 0000:03:03.2',
    ])
  })
})

describe('physicalFunctions() and pciAddressOf()', () => {
  it('find PFs, and what is behind an interface', () => {
    expect(physicalFunctions(sys).map(({ address }) => address)).toEqual(['0000:03:00.0'])
    expect(pciAddressOf('eno2', sys)).toBe('0000:03:00.0')
    for (const name of ['br0', 'absent', '../net/eno2', '', '.']) expect(pciAddressOf(name, sys)).toBeUndefined()
  })
})

describe('unbindDriver() and bindDriver()', () => {
  it('write the address where the driver takes it', async () => {
    mkdirSync(`${sys}/bus/pci/drivers/ixgbevf`, { recursive: true })
    for (const name of ['bind', 'unbind']) writeFileSync(`${sys}/bus/pci/drivers/ixgbevf/${name}`, '')
    await unbindDriver('0000:03:02.0', 'ixgbevf', sys)
    await bindDriver('0000:03:02.0', 'ixgbevf', sys)
    await expect(bindDriver('0000:03:02.0', 'absent', sys)).rejects.toThrow('ENOENT')
  })

  it('know which drivers are those of programs in user space', () => {
    expect(['vfio-pci', 'igb_uio', 'uio_pci_generic', 'ixgbevf', undefined].map(isUserSpaceDriver)).toEqual([
      ...[true, true, true, false, false],
    ])
  })
})
