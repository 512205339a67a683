import { describe, expect, it } from 'vitest'
import { sriovConfig, sriovKeyWarnings } from '../../../plugins/sriov/config.ts'
import type { Environment } from '../../../shared/cni/request.ts'
import { requestOf } from '../../shared/cni/requests.ts'
import { failureOf } from '../../shared/failures.ts'

const configOf = (config: object, environment: Environment = {}) => sriovConfig(requestOf(config, environment))

describe('sriovConfig()', () => {
  it('asks for nothing unless the config does', () => {
    const nothing = { vlan: undefined, rate: undefined, spoofCheck: undefined, linkState: undefined, trust: undefined }
    expect(configOf({})).toEqual({
      address: undefined,
      pf: undefined,
      attributes: nothing,
      mac: undefined,
      mtuBytes: undefined,
      allMulticast: false,
      ipamType: undefined,
      layer3: { acceptRA: undefined, dad: 'off', announce: true, sourceRouting: undefined },
    })
    const empty = { deviceID: '', vlanProto: '', spoofchk: '', trust: '', link_state: '', mac: '', pf: '', ipam: {} }
    expect(configOf({ ...empty, logLevel: 'debug' })).toEqual(configOf({}))
  })

  it('reads every key, however it is spelled', () => {
    const config = {
      DeviceId: '0000:03:02.1',
      VLAN: 100,
      vlanQos: 3,
      VlanProto: '802.1Q',
      mac: '02-00-00-00-00-0A',
      SpoofChk: 'off',
      Trust: 'on',
      Link_State: 'enable',
      min_tx_rate: 10,
      max_tx_rate: 100,
      MTU: 1400,
      AllMulti: true,
    }
    expect(configOf({ ...config, ipam: { type: 'host-local' } })).toMatchObject({
      address: '0000:03:02.1',
      attributes: {
        vlan: { id: 100, qos: 3, protocol: '802.1q' },
        rate: { minMbps: 10, maxMbps: 100 },
        spoofCheck: false,
        linkState: 'enable',
        trust: true,
      },
      mac: '02:00:00:00:00:0a',
      mtuBytes: 1400,
      allMulticast: true,
      ipamType: 'host-local',
    })
  })

  it('takes the device from the most specific place', () => {
    const [a, b, c] = ['0000:03:02.1', '0000:03:02.2', '0000:03:02.3']
    expect(configOf({ runtimeConfig: { deviceID: a }, deviceID: b, pciBusID: c }).address).toBe(a)
    expect(configOf({ deviceID: b, pciBusID: c }).address).toBe(b)
    expect(configOf({ pciBusID: c }).address).toBe(c)
  })

  it('tells VLAN 0 and rate 0, which are set, from none, which is left as it is', () => {
    expect(configOf({ vlan: 0, vlanQoS: 0 }).attributes.vlan).toEqual({ id: 0, qos: 0, protocol: '802.1q' })
    expect(configOf({ max_tx_rate: 0 }).attributes.rate).toEqual({ minMbps: 0, maxMbps: 0 })
    expect(configOf({ min_tx_rate: 5 }).attributes.rate).toEqual({ minMbps: 5, maxMbps: 0 })
  })

  it.each([
    [{ deviceID: 'eth0' }, 'Cannot use deviceID "eth0": write a PCI address'],
    [{ runtimeConfig: { deviceID: 7 } }, 'Cannot use runtimeConfig.deviceID 7: must be a PCI address'],
    [{ vlan: 4095 }, 'Cannot read "vlan": 4095: must be 4094 or less'],
    [{ vlan: '100' }, 'Cannot read "vlan": "100": must be number'],
    [{ vlan: 5, vlanQoS: 8 }, 'Cannot read "vlanQoS": 8: must be 7 or less'],
    [{ vlanQoS: 3 }, 'Cannot use vlanQoS 3: it is the priority of a VLAN, and "vlan" is not given'],
    [{ vlan: 0, vlanQoS: 3 }, 'Cannot use vlanQoS 3: vlan 0 is no VLAN'],
    [{ vlanProto: '802.1ad' }, 'Cannot use vlanProto "802.1ad": it is the protocol of a VLAN, and "vlan" is not given'],
    [{ vlan: 0, vlanProto: '802.1ad' }, 'Cannot use vlanProto "802.1ad": vlan 0 is no VLAN'],
    [{ vlan: 5, vlanProto: 'qinq' }, 'Cannot use vlanProto "qinq": must be 802.1q or 802.1ad'],
    [{ spoofchk: 'yes' }, 'Cannot read "spoofchk": "yes": must be one of on, off'],
    [{ trust: true }, 'Cannot read "trust": true: must be one of on, off'],
    [{ link_state: 'up' }, 'Cannot read "link_state": "up": must be one of auto, enable, disable'],
    [{ min_tx_rate: 200, max_tx_rate: 100 }, 'Cannot use min_tx_rate 200: max_tx_rate is 100'],
    [{ max_tx_rate: -1 }, 'Cannot read "max_tx_rate": -1: must be 0 or more'],
    [{ mac: '01:00:00:00:00:01' }, 'Cannot use mac "01:00:00:00:00:01": it is a multicast address'],
    [{ vlanTrunk: '100-200' }, 'Cannot use vlanTrunk "100-200": the kernel has no interface'],
    [{ pf: 7 }, 'Cannot read "pf": 7: must be an object'],
    [{ pf: {} }, 'Cannot use pf {}: give a name, a PCI address, or an object'],
    [{ pf: { address: 'eno2' } }, 'Cannot use pf.address "eno2": write a PCI address'],
  ])('refuses %j', (config, message) => {
    expect(failureOf(() => configOf(config))).toMatchObject({
      errorName: 'ERR_CONFIG',
      message: expect.stringContaining(message),
    })
  })

  it('reads pf as a name, an address, or an object of both and more', () => {
    const none = { name: '', address: '', vendor: '', device: '', driver: '' }
    expect(configOf({ pf: 'eno2' }).pf).toEqual({ ...none, text: 'eno2', name: 'eno2' })
    expect(configOf({ pf: '0000:0A:00.0' }).pf).toEqual({ ...none, text: '0000:0a:00.0', address: '0000:0a:00.0' })
    expect(configOf({ pf: { Vendor: '0x8086', device: '10CA', driver: 'igb' } }).pf).toMatchObject({
      ...{ vendor: '8086', device: '10ca', driver: 'igb', name: '', address: '' },
    })
  })
})

describe('sriovKeyWarnings()', () => {
  it('tells of misspelt keys, and of those that are only there for others', () => {
    const config = { deviceID: '', vf: 0, spoofchek: 'on', logLevel: 'debug', logFile: '' }
    expect(sriovKeyWarnings(requestOf(config))).toEqual([
      'unknown key "spoofchek" is ignored; did you mean "spoofchk"?',
      '"logLevel" is ignored: log lines go to standard error, and BERTH_LOG says which',
    ])
  })
})
