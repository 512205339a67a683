import { describe, expect, it } from 'vitest'
import { ipvlanConfig, ipvlanKeyWarnings } from '../../../plugins/ipvlan/config.ts'
import { requestOf } from '../../shared/cni/requests.ts'
import { failureOf } from '../../shared/failures.ts'

const configOf = (config: object) => ipvlanConfig(requestOf(config))

describe('ipvlanConfig()', () => {
  it('reads the keys of the reference plugin, however they are spelled', () => {
    const read = configOf({ Master: 'eth1', MODE: 'l3s', mtu: 1400, LinkInContainer: true })
    expect(read).toMatchObject({ master: 'eth1', mode: 'l3s', mtuBytes: 1400, masterInContainer: true })
    expect(configOf({})).toMatchObject({ master: undefined, mode: 'l2', mtuBytes: undefined, mac: undefined })
    expect(configOf({ mode: '' }).mode).toBe('l2')
  })

  it.each<[object, string]>([
    [{ mode: 'bridge' }, 'Cannot read "mode": "bridge": must be one of l2, l3, l3s'],
    [{ mode: 'L2' }, 'Cannot read "mode": "L2": must be one of l2, l3, l3s'],
    [{ mtu: '1400' }, 'Cannot read "mtu": "1400": must be number'],
    [{ linkInContainer: 'yes' }, 'Cannot read "linkInContainer": "yes": must be boolean'],
    [{ hostAccess: true }, 'Cannot use hostAccess: it is a key of berth-macvlan, and no ipvlan has it'],
    [{ mac: 'xx' }, 'Cannot use mac "xx": '],
  ])('names the key and quotes the value when given %j', (config, message) => {
    const failure = failureOf(() => configOf(config))
    expect([failure.errorName, failure.message.slice(0, message.length)]).toEqual(['ERR_CONFIG', message])
  })

  it('keeps a MAC that anybody asks for, to be refused', () => {
    const mac = '02:00:00:00:00:01'
    expect(configOf({ mac }).mac).toBe(mac)
    expect(configOf({ runtimeConfig: { mac } }).mac).toBe(mac)
    expect(configOf({ hostAccess: false }).mac).toBeUndefined()
  })
})

describe('ipvlanKeyWarnings()', () => {
  it('warns of a key that is nearly a known one, and of no other', () => {
    expect(ipvlanKeyWarnings(requestOf({ mdoe: 'l3' }))).toEqual([
      'unknown key "mdoe" is ignored; did you mean "mode"?',
    ])
    expect(ipvlanKeyWarnings(requestOf({ mode: 'l3', bcqueuelen: 5, vlan: 5 }))).toEqual([])
  })
})
