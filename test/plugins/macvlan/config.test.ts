import { describe, expect, it } from 'vitest'
import { macvlanConfig, macvlanKeyWarnings } from '../../../plugins/macvlan/config.ts'
import type { Environment } from '../../../shared/cni/request.ts'
import { requestOf } from '../../shared/cni/requests.ts'
import { failureOf } from '../../shared/failures.ts'

const configOf = (config: object, environment: Environment = {}) => macvlanConfig(requestOf(config, environment))

describe('macvlanConfig()', () => {
  it('has a default for every key', () => {
    expect(configOf({})).toEqual({
      master: undefined,
      vlan: undefined,
      createVlan: false,
      metadata: { folder: undefined, root: '' },
      mode: 'bridge',
      mtuBytes: undefined,
      mac: undefined,
      masterInContainer: false,
      broadcastQueueLength: undefined,
      hostAccess: false,
      ipamType: undefined,
      layer3: { acceptRA: undefined, dad: 'off', announce: true, sourceRouting: undefined },
    })
  })

  it('reads every key, however it is spelled', () => {
    const config = {
      Master: 'eth1',
      Vlan: 20,
      openstackmetadata: '/metadata',
      CREATEVLAN: false,
      MODE: 'vepa',
      mtu: 1400,
      MAC: '02:00:00:00:00:0A',
      LinkInContainer: true,
      bcQueueLen: 500,
      hostaccess: true,
      acceptRa: true,
      DAD: 'wait',
      Announce: false,
      SourceRouting: { Table: 77 },
    }
    expect(configOf({ ...config, ipam: { type: 'host-local' } })).toEqual({
      master: 'eth1',
      vlan: 20,
      createVlan: false,
      metadata: { folder: '/metadata', root: '' },
      mode: 'vepa',
      mtuBytes: 1400,
      mac: '02:00:00:00:00:0a',
      masterInContainer: true,
      broadcastQueueLength: 500,
      hostAccess: true,
      ipamType: 'host-local',
      layer3: { acceptRA: true, dad: 'wait', announce: false, sourceRouting: { table: 77 } },
    })
  })

  it.each([
    ['an empty text', { master: '', mode: '', mac: '', ipam: { type: '' } }],
    ['zero', { mtu: 0, bcqueuelen: 0 }],
    ['null', { master: null, mode: null, mtu: null, mac: null, linkInContainer: null, ipam: null }],
  ])('takes %s for absence', (_, config) => {
    expect(configOf(config)).toEqual(configOf({}))
  })

  it.each(['bridge', 'private', 'vepa', 'passthru'])('knows the mode %s', (mode) => {
    expect(configOf({ mode }).mode).toBe(mode)
  })

  it.each<[object, string]>([
    [{ mode: 'source' }, 'Cannot read "mode": "source": must be one of bridge, private, '],
    [{ mode: 'Bridge' }, 'Cannot read "mode": "Bridge": must be one of '],
    [{ mode: 4 }, 'Cannot read "mode": 4: '],
    [{ mtu: -1 }, 'Cannot read "mtu": -1: must be 0 or more'],
    [{ mtu: 1400.5 }, 'Cannot read "mtu": 1400.5: must be a whole number'],
    [{ mtu: '1400' }, 'Cannot read "mtu": "1400": must be number'],
    [{ master: 7 }, 'Cannot read "master": 7: must be string'],
    [{ vlan: 4095 }, 'Cannot read "vlan": 4095: must be 4094 or less'],
    [{ vlan: -1 }, 'Cannot read "vlan": -1: must be 0 or more'],
    [{ vlan: '20' }, 'Cannot read "vlan": "20": must be number'],
    [{ createVlan: 'yes' }, 'Cannot read "createVlan": "yes": must be boolean'],
    [{ createVlan: true, linkInContainer: true }, 'Cannot use createVlan: with linkInContainer the master is '],
    [{ linkInContainer: 'yes' }, 'Cannot read "linkInContainer": "yes": must be boolean'],
    [{ dad: 'on' }, 'Cannot read "dad": "on": must be one of off, optimistic, wait'],
    [{ acceptRA: 1 }, 'Cannot read "acceptRA": 1: must be boolean'],
    [{ announce: 'no' }, 'Cannot read "announce": "no": must be boolean'],
    [{ sourceRouting: 'yes' }, 'Cannot read "sourceRouting": "yes": must be an object'],
    [{ sourceRouting: { table: -1 } }, 'Cannot read "sourceRouting.table": -1: must be 0 or more'],
    [{ sourceRouting: { table: 254 } }, 'Cannot use sourceRouting.table 254: '],
    [{ bcqueuelen: -1 }, 'Cannot read "bcqueuelen": -1: '],
    [{ bcqueuelen: 4_294_967_296 }, 'Cannot read "bcqueuelen": 4294967296: '],
  ])('names the key and quotes the value when given %j', (config, message) => {
    const failure = failureOf(() => configOf(config))
    expect([failure.errorName, failure.code]).toEqual(['ERR_CONFIG', 7])
    expect(failure.message.startsWith(message)).toBe(true)
  })
})

describe('macvlanConfig() of a mac', () => {
  const runtimeConfig = { mac: '02:00:00:00:00:01' }
  const CNI_ARGS = 'MAC=02:00:00:00:00:02'
  const args = { cni: { mac: '02:00:00:00:00:03' } }
  const mac = '02:00:00:00:00:04'

  it.each<[string, object, Environment, string | undefined]>([
    ['runtimeConfig before all others', { runtimeConfig, args, mac }, { CNI_ARGS }, '02:00:00:00:00:01'],
    ['CNI_ARGS before the config', { args, mac }, { CNI_ARGS }, '02:00:00:00:00:02'],
    ['args.cni before the key of its own', { args, mac }, {}, '02:00:00:00:00:03'],
    ['the key of its own', { mac }, {}, '02:00:00:00:00:04'],
    [
      'the next place when one is empty',
      { runtimeConfig: { mac: '' }, args: { cni: { mac: '' } }, mac },
      { CNI_ARGS: 'MAC=' },
      mac,
    ],
    ['nowhere when nobody names one', {}, {}, undefined],
  ])('takes it from %s', (_, config, environment, wanted) => {
    expect(configOf(config, environment).mac).toBe(wanted)
  })

  it.each([
    ['upper case', '0A:BB:CC:DD:EE:FF', '0a:bb:cc:dd:ee:ff'],
    ['a manufacturer', '3c:fd:fe:00:00:01', '3c:fd:fe:00:00:01'],
    ['zeros but for the last bit', '00:00:00:00:00:01', '00:00:00:00:00:01'],
    ['dashes', '02-00-00-00-00-0A', '02:00:00:00:00:0a'],
    ['dots', '0200.0000.000A', '02:00:00:00:00:0a'],
  ])('takes one of %s', (_, text, wanted) => {
    expect(configOf({ mac: text }).mac).toBe(wanted)
  })

  const six = 'write six bytes as "02:00:00:00:00:01", or "fromIP"'

  it.each([
    ['of five bytes', '02:00:00:00:01', six],
    ['of seven bytes', '02:00:00:00:00:00:01', six],
    ['of eight bytes', '02:00:00:00:00:00:00:01', six],
    ['with dashes and colons', '02-00-00:00:00:01', six],
    ['with dots between bytes', '02.00.00.00.00.01', six],
    ['without colons', '020000000001', six],
    ['of single digits', '2:0:0:0:0:1', six],
    ['of other letters', '02:00:00:00:00:0g', six],
    ['with a space', '02:00:00:00:00:01 ', six],
    ['with a newline', '02:00:00:00:00:01\n', six],
    ['of the broadcast', 'ff:ff:ff:ff:ff:ff', 'it is a multicast address'],
    ['of a group', '01:00:5e:00:00:01', 'it is a multicast address'],
    ['of a group, with dots', '0100.5e00.0001', 'it is a multicast address'],
    ['of all zeros', '00:00:00:00:00:00', 'it is all zeros'],
    ['of all zeros, with dashes', '00-00-00-00-00-00', 'it is all zeros'],
  ])('refuses one %s', (_, text, why) => {
    for (const config of [{ mac: text }, { runtimeConfig: { mac: text } }]) {
      const failure = failureOf(() => configOf(config))
      expect([failure.errorName, failure.message]).toEqual([
        'ERR_CONFIG',
        `Cannot use mac ${JSON.stringify(text)}: ${why}`,
      ])
    }
  })
})

describe('macvlanKeyWarnings()', () => {
  it.each([
    ['masters', 'master'],
    ['mdoe', 'mode'],
    ['linkIncontainr', 'linkInContainer'],
    ['runtimeconfg', 'runtimeConfig'],
    ['cniVersoin', 'cniVersion'],
  ])('warns of %s', (typed, meant) => {
    expect(macvlanKeyWarnings(requestOf({ [typed]: 1 }))).toEqual([
      `unknown key "${typed}" is ignored; did you mean "${meant}"?`,
    ])
  })

  it.each(['master', 'MASTER', 'capabilities', 'prevResult', 'cni.dev/valid-attachments', 'deviceID', 'promiscMode'])(
    'says nothing of %s',
    (key) => {
      expect(macvlanKeyWarnings(requestOf({ [key]: key === 'cni.dev/valid-attachments' ? [] : 'x' }))).toEqual([])
    },
  )
})
