import { describe, expect, it } from 'vitest'
import { dialectFor, planFor } from '../../../ipam/dialects/index.ts'
import { failureOf } from '../../shared/failures.ts'

describe('dialectFor()', () => {
  it.each<[string, unknown, string]>([
    ['the dialect is named', { dialect: 'host-local' }, 'host-local'],
    ['the name of the key has other capitals', { Dialect: 'static' }, 'static'],
    ['the dialect is named besides another type', { dialect: 'netconfig', type: 'whereabouts' }, 'netconfig'],
    ['the dialect is named besides keys of another', { dialect: 'whereabouts', networks: [] }, 'whereabouts'],
    ['the type is that of a peer', { type: 'static', range: '10.0.0.0/24' }, 'static'],
    ['the type is host-local', { type: 'host-local', networks: [] }, 'host-local'],
    ['the type is whereabouts', { type: 'whereabouts', subnet: '10.0.0.0/24' }, 'whereabouts'],
    ['the type is "netconfig", which is no plugin', { type: 'netconfig' }, 'whereabouts'],
    ['the dialect is empty', { dialect: '', type: 'static' }, 'static'],
    ['the dialect is null', { dialect: null, type: 'static' }, 'static'],
    ['there are networks', { type: 'berth-ipam', Networks: [], subnet: 'x' }, 'netconfig'],
    ['there is a subnet', { type: 'berth-ipam', SUBNET: '10.0.0.0/24' }, 'host-local'],
    ['there are ranges', { ranges: [] }, 'host-local'],
    ['there is a rangeStart', { rangestart: 'x' }, 'host-local'],
    ['there is a rangeEnd', { rangeEnd: 'x' }, 'host-local'],
    ['there is a dataDir', { dataDir: 'x' }, 'host-local'],
    ['the only mark is null', { subnet: null }, 'whereabouts'],
    ['there is a range', { type: 'berth-ipam', range: '10.0.0.0/24' }, 'whereabouts'],
    ['there is nothing', {}, 'whereabouts'],
    ['it is no object', undefined, 'whereabouts'],
  ])('chooses when %s', (_, ipam, name) => {
    expect(dialectFor(ipam).name).toBe(name)
  })

  it.each(['Static', 'dhcp', 5, true])('refuses the dialect %j, which is none', (dialect) => {
    const { errorName, message } = failureOf(() => dialectFor({ dialect }))
    expect(errorName).toBe('ERR_CONFIG')
    expect(message).toBe(
      `Cannot read "ipam.dialect": ${JSON.stringify(dialect)}: must be one of whereabouts, host-local, static, netconfig`,
    )
  })
})

describe('planFor()', () => {
  it('reads a config in its own dialect', () => {
    const ipam = { type: 'berth-ipam', subnet: '10.0.0.0/24' }
    const plan = planFor({ ipam, network: 'storage', runtimeRanges: undefined, defaults: undefined })
    expect(plan.space).toBe('storage')
  })
})
