import { describe, expect, it } from 'vitest'
import { dialectFor } from '../../../ipam/dialects/index.ts'
import { planIn, refusalIn, shownSets } from './shown.ts'

/** The same subnet in every dialect that has ranges. */
const ranged: [string, object][] = [
  ['whereabouts', { range: '10.0.0.0/24' }],
  ['host-local', { subnet: '10.0.0.0/24' }],
  ['netconfig', { networks: [{ name: 'a', subnets: [{ name: 's', cidr: '10.0.0.0/24' }] }] }],
]
const all: [string, object][] = [...ranged, ['static', { addresses: [{ address: '10.0.0.7/24' }] }]]

describe.each(all)("%s.plan() of Berth's own keys", (dialect, ipam) => {
  it('has defaults', () => {
    expect(planIn(dialect, ipam)).toMatchObject({ coolDownMs: 30_000, keepMs: undefined, probe: false })
  })

  it('reads them, whatever their capitals', () => {
    const keys = { CooldownSeconds: 5, Sticky: true, conflictcheck: true }
    expect(planIn(dialect, { ...ipam, ...keys })).toMatchObject({ coolDownMs: 5000, keepMs: 86_400_000, probe: true })
    expect(planIn(dialect, { ...ipam, cooldownSeconds: 0 }).coolDownMs).toBe(0)
  })

  it('reads how long addresses are kept, when they are', () => {
    expect(planIn(dialect, { ...ipam, sticky: true, stickyRetentionSeconds: 60 }).keepMs).toBe(60_000)
    expect(planIn(dialect, { ...ipam, sticky: false, stickyRetentionSeconds: 60 }).keepMs).toBeUndefined()
  })

  it.each<[object, string]>([
    [{ cooldownSeconds: -1 }, '"ipam.cooldownSeconds": -1: must be 0 or more'],
    [{ cooldownSeconds: 1.5 }, '"ipam.cooldownSeconds": 1.5: must be a whole number'],
    [{ cooldownSeconds: '5' }, '"ipam.cooldownSeconds": "5": must be number'],
    [{ sticky: 'yes' }, '"ipam.sticky": "yes": must be boolean'],
    [{ stickyRetentionSeconds: 2 ** 32 }, '"ipam.stickyRetentionSeconds": 4294967296: must be 4294967295 or less'],
    [{ conflictCheck: 1 }, '"ipam.conflictCheck": 1: must be boolean'],
    [{ reserved: '10.0.0.5' }, '"ipam.reserved": "10.0.0.5": must be array'],
    [{ reserved: ['x'] }, '"ipam.reserved.0": "x": is neither an address, nor a prefix, nor "first-last"'],
    [{ reserved: ['10.0.0.5-x'] }, '"10.0.0.5-x": is neither an address, nor a prefix, nor "first-last"'],
    [{ reserved: ['x-10.0.0.5'] }, '"x-10.0.0.5": is neither an address, nor a prefix, nor "first-last"'],
    [{ reserved: ['-10.0.0.5'] }, '"-10.0.0.5": is neither an address, nor a prefix, nor "first-last"'],
    [{ reserved: ['10.0.0.5-fd00::5'] }, '"ipam.reserved.0": "10.0.0.5-fd00::5": mixes address families'],
    [{ reserved: ['10.0.0.9-10.0.0.5'] }, '"10.0.0.9-10.0.0.5": "10.0.0.5" comes before "10.0.0.9"'],
    [{ reserved: ['10.0.0.9', '10.0.1.9'] }, '"ipam.reserved.1": "10.0.1.9": lies outside the range 10.0.0.0/24'],
    [{ reserved: ['10.0.0.0/16'] }, '"ipam.reserved.0": "10.0.0.0/16": lies outside the range 10.0.0.0/24'],
    [{ reserved: ['10.0.0.250-10.0.1.5'] }, '"10.0.0.250-10.0.1.5": lies outside the range 10.0.0.0/24'],
    [{ reserved: ['fd00::1'] }, '"ipam.reserved.0": "fd00::1": lies outside the range 10.0.0.0/24'],
  ])('names the key and quotes the value when given %j', (keys, message) => {
    const refusal = refusalIn(dialect, { ...ipam, ...keys })
    expect(refusal).toMatch(/^Cannot read "ipam\./)
    expect(refusal).toContain(message)
  })

  it('refuses what is no object', () => {
    for (const wrong of [undefined, null, 5, 'x', []]) {
      const input = { ipam: wrong, network: 'net', runtimeRanges: undefined, defaults: undefined }
      expect(() => dialectFor({ dialect }).plan(input)).toThrow(/^Cannot read "ipam": .*: must be an object$/)
    }
  })

  it('knows its keys, for the warnings about near misses', () => {
    const { name, keys } = dialectFor({ dialect })
    expect(name).toBe(dialect)
    expect(keys).toEqual(
      expect.arrayContaining(['dialect', 'type', 'reserved', 'cooldownSeconds', ...Object.keys(ipam)]),
    )
    expect(new Set(keys).size).toBe(keys.length)
  })
})

describe.each(ranged)('%s.plan() of reserved addresses', (dialect, ipam) => {
  it('reserves addresses, prefixes and runs, sorted and joined', () => {
    const reserved = ['10.0.0.128/25', '10.0.0.9', '10.0.0.5-10.0.0.8', '10.0.0.20']
    const [range] = planIn(dialect, { ...ipam, reserved }).rangeSets.flat()
    expect(range?.reserved.map(({ first, last }) => [first & 255n, last & 255n])).toEqual([
      [5n, 9n],
      [20n, 20n],
      [128n, 255n],
    ])
  })
})

describe('planFor() of reserved addresses', () => {
  it('names all subnets when they are several', () => {
    const ipRanges = [{ range: '10.0.0.0/24' }, { range: 'fd00::/64' }]
    expect(refusalIn('whereabouts', { ipRanges, reserved: ['10.1.0.1'] })).toBe(
      'Cannot read "ipam.reserved.0": "10.1.0.1": lies in no subnet of this config: 10.0.0.0/24, fd00::/64',
    )
  })

  it('refuses them when there is no subnet at all', () => {
    expect(refusalIn('static', { reserved: ['10.1.0.1'] })).toBe(
      'Cannot read "ipam.reserved.0": "10.1.0.1": there is no subnet to lie in',
    )
  })

  it('puts them into every range whose subnet they lie in', () => {
    const ipRanges = [{ range: '10.0.0.0/29' }, { range: '10.0.0.0/30' }, { range: '10.0.0.8/29' }]
    expect(shownSets(planIn('whereabouts', { ipRanges, reserved: ['10.0.0.2'] })).flat()).toEqual([
      '10.0.0.0/29: 10.0.0.1-10.0.0.6 reserved 10.0.0.2-10.0.0.2',
      '10.0.0.0/30: 10.0.0.1-10.0.0.2 reserved 10.0.0.2-10.0.0.2',
      '10.0.0.8/29: 10.0.0.9-10.0.0.14',
    ])
  })
})
