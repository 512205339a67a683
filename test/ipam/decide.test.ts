import { describe, expect, it } from 'vitest'
import { decide, type Held, readRequested } from '../../ipam/decide.ts'
import type { Plan } from '../../ipam/plan.ts'
import { formatCidr, formatIp, type Ip } from '../../shared/address.ts'
import { ip } from '../shared/addresses.ts'
import { failureOf } from '../shared/failures.ts'
import { fixedOf, heldOf, planOf, rangeOf, requestedOf } from './plans.ts'

const nobody = heldOf()
const granted = (plan: Plan, held: Held = nobody, ...requested: string[]): string[] =>
  decide(plan, requestedOf(...requested), held).map(({ address }) => formatCidr(address))

describe('decide() of one range', () => {
  it.each([
    ['the first address when nothing is held', rangeOf('10.0.0.0/24'), [], '10.0.0.1/24'],
    ['the first address of IPv6', rangeOf('fd00::/64'), [], 'fd00::1/64'],
    ['the lowest one free', rangeOf('10.0.0.0/24'), ['10.0.0.1', '10.0.0.2', '10.0.0.4'], '10.0.0.3/24'],
    ['the start of the bounds', rangeOf('10.0.0.0/24', { start: '10.0.0.100' }), [], '10.0.0.100/24'],
    ['what comes after the gateway', rangeOf('10.0.0.0/24', { gateway: '10.0.0.1' }), [], '10.0.0.2/24'],
    ['what comes after an exclusion', rangeOf('10.0.0.0/24', { excluded: ['10.0.0.0/26'] }), [], '10.0.0.64/24'],
    [
      'what lies between exclusions',
      rangeOf('10.0.0.0/24', { excluded: ['10.0.0.1', '10.0.0.4/30', '10.0.0.3'] }),
      ['10.0.0.8'],
      '10.0.0.2/24',
    ],
    [
      'what no exclusion, holder or gateway has',
      rangeOf('10.0.0.0/24', { excluded: ['10.0.0.0/30', '10.0.0.5'], gateway: '10.0.0.4' }),
      ['10.0.0.6'],
      '10.0.0.7/24',
    ],
    ['the last address when all others are held', rangeOf('10.0.0.0/30'), ['10.0.0.1'], '10.0.0.2/30'],
    ['both addresses of a /31, the first', rangeOf('10.0.0.0/31'), [], '10.0.0.0/31'],
    ['both addresses of a /31, the second', rangeOf('10.0.0.0/31'), ['10.0.0.0'], '10.0.0.1/31'],
    ['the address of a /32', rangeOf('10.0.0.9/32'), [], '10.0.0.9/32'],
    ['both addresses of a /127', rangeOf('fd00::/127'), ['fd00::'], 'fd00::1/127'],
    ['the address of a /128', rangeOf('fd00::7/128'), [], 'fd00::7/128'],
    ['the end of IPv4', rangeOf('255.255.255.254/31'), ['255.255.255.254'], '255.255.255.255/31'],
  ])('grants %s', (_, range, held, address) => {
    expect(granted(planOf([range]), heldOf(...held))).toEqual([address])
  })

  it.each([
    ['10.0.0.0/8', ['10.0.0.0/9', '10.128.0.0/10'], '10.192.0.0/8'],
    ['fd00::/64', ['fd00::/65', 'fd00:0:0:0:8000::/66'], 'fd00::c000:0:0:0/64'],
    ['0.0.0.0/0', ['0.0.0.0/1', '128.0.0.0/2'], '192.0.0.0/0'],
  ])('jumps over exclusions in %s and asks only about the address after them', (text, excluded, address) => {
    const asked: string[] = []
    const held: Held = {
      has: (_space: string, ip: Ip) => {
        asked.push(formatIp(ip))
        return false
      },
      holder: () => 'nobody',
      candidates: nobody.candidates,
    }
    expect(granted(planOf([rangeOf(text, { excluded })]), held)).toEqual([address])
    expect(asked).toEqual([address.slice(0, address.indexOf('/'))])
  })

  it.each([
    ['all are held', rangeOf('10.0.0.0/30'), ['10.0.0.1', '10.0.0.2'], '10.0.0.1-10.0.0.2'],
    ['all are excluded', rangeOf('fd00::/64', { excluded: ['fd00::/64'] }), [], 'fd00::1-fd00::ffff:ffff:ffff:fffe'],
    ['only the gateway is left', rangeOf('10.0.0.0/30', { gateway: '10.0.0.1' }), ['10.0.0.2'], '10.0.0.1-10.0.0.2'],
    ['both of a /31 are held', rangeOf('10.0.0.0/31'), ['10.0.0.0', '10.0.0.1'], '10.0.0.0-10.0.0.1'],
    [
      'the bounds are full',
      rangeOf('10.0.0.0/24', { start: '10.0.0.9', end: '10.0.0.9' }),
      ['10.0.0.9'],
      '10.0.0.9-10.0.0.9',
    ],
  ])('says that the range is exhausted when %s', (_, range, held, bounds) => {
    const failure = failureOf(() => granted(planOf([range]), heldOf(...held)))
    expect([failure.errorName, failure.code]).toEqual(['ERR_EXHAUSTED', 100])
    expect(failure.message).toBe(`Cannot claim an address of "${range.text}": none of ${bounds} is free`)
    expect(failure.details).toBe('every address is held, kept, excluded or the gateway')
  })

  it('gives no reserved address unless it is asked for', () => {
    const range = rangeOf('10.0.0.0/29', { reserved: ['10.0.0.1', '10.0.0.3'], excluded: ['10.0.0.2'] })
    expect(granted(planOf([range]))).toEqual(['10.0.0.4/29'])
    expect(granted(planOf([range]), nobody, '10.0.0.3')).toEqual(['10.0.0.3/29'])
    expect(failureOf(() => granted(planOf([range]), nobody, '10.0.0.2')).errorName).toBe('ERR_CONFIG')
    const full = heldOf('10.0.0.4', '10.0.0.5', '10.0.0.6')
    expect(failureOf(() => granted(planOf([range]), full)).errorName).toBe('ERR_EXHAUSTED')
  })

  it('takes the next range of a set when the one before is full, and names all when all are', () => {
    const set = [rangeOf('10.0.0.0/31'), rangeOf('10.1.0.0/31', { gateway: '10.1.0.0' })]
    const plan = { ...planOf([]), rangeSets: [set] }
    expect(granted(plan)).toEqual(['10.0.0.0/31'])
    expect(granted(plan, heldOf('10.0.0.0', '10.0.0.1'))).toEqual(['10.1.0.1/31'])
    expect(granted(plan, nobody, '10.1.0.1')).toEqual(['10.1.0.1/31'])
    const failure = failureOf(() => granted(plan, heldOf('10.0.0.0', '10.0.0.1', '10.1.0.1')))
    const bounds = '10.0.0.0-10.0.0.1, 10.1.0.0-10.1.0.1'
    expect(failure.message).toBe(`Cannot claim an address of "10.0.0.0/31", "10.1.0.0/31": none of ${bounds} is free`)
  })

  it('gives the first free candidate, in the order that it is told', () => {
    const held: Held = { ...heldOf('10.0.0.9'), candidates: () => ['10.0.0.9', '10.0.0.5', '10.0.0.1'].map(ip) }
    expect(granted(planOf([rangeOf('10.0.0.0/24')]), held)).toEqual(['10.0.0.5/24'])
  })

  it('grants with the prefix, the gateway and the text of the range', () => {
    const range = rangeOf('10.0.0.0/24', { gateway: '10.0.0.254' })
    const [grant] = decide(planOf([range]), [], nobody)
    expect(grant).toMatchObject({ range: '10.0.0.0/24', gateway: range.gateway, address: { prefix: 24 } })
  })
})

describe('decide() of a requested address', () => {
  const range = rangeOf('10.0.0.0/24', {
    start: '10.0.0.10',
    end: '10.0.0.20',
    excluded: ['10.0.0.15', '10.0.0.64/26'],
    gateway: '10.0.0.1',
  })

  it.each([
    ['inside the bounds', '10.0.0.12'],
    ['below the bounds', '10.0.0.2'],
    ['above the bounds', '10.0.0.200'],
  ])('grants it in place of a dynamic one when it lies %s', (_, text) => {
    expect(granted(planOf([range]), nobody, text)).toEqual([`${text}/24`])
  })

  it('gives it the prefix of the range when the request names another', () => {
    expect(granted(planOf([range]), nobody, '10.0.0.12/16')).toEqual(['10.0.0.12/24'])
  })

  it.each([
    ['the gateway', '10.0.0.1', 'the gateway of 10.0.0.0/24'],
    ['the network address', '10.0.0.0', 'the network or broadcast address of 10.0.0.0/24'],
    ['the broadcast address', '10.0.0.255', 'the network or broadcast address of 10.0.0.0/24'],
    ['excluded', '10.0.0.15', 'excluded from 10.0.0.0/24'],
    ['in an excluded prefix', '10.0.0.100', 'excluded from 10.0.0.0/24'],
    ['in no subnet', '10.0.1.5', 'lies in no subnet of this network (10.0.0.0/24)'],
    ['of another family', 'fd00::5', 'lies in no subnet of this network (10.0.0.0/24)'],
  ])('refuses it when it is %s', (_, text, why) => {
    const failure = failureOf(() => granted(planOf([range]), nobody, text))
    expect([failure.errorName, failure.message]).toEqual(['ERR_CONFIG', `Cannot claim "${text}": ${why}`])
  })

  it('refuses the routers anycast address of IPv6', () => {
    const failure = failureOf(() => granted(planOf([rangeOf('fd00::/64')]), nobody, 'fd00::'))
    expect(failure.message).toBe('Cannot claim "fd00::": the network or broadcast address of fd00::/64')
  })

  it.each([
    ['10.0.0.0/31', '10.0.0.0'],
    ['10.0.0.0/31', '10.0.0.1'],
    ['10.0.0.9/32', '10.0.0.9'],
    ['fd00::/127', 'fd00::'],
  ])('grants any address of %s, which has no network address', (text, address) => {
    expect(granted(planOf([rangeOf(text)]), nobody, address)).toEqual([
      `${address}/${text.slice(text.indexOf('/') + 1)}`,
    ])
  })

  it('names the holder when it is taken', () => {
    const failure = failureOf(() => granted(planOf([range]), heldOf('10.0.0.12'), '10.0.0.12'))
    expect([failure.errorName, failure.code]).toEqual(['ERR_TAKEN', 101])
    expect(failure.message).toBe('Cannot claim "10.0.0.12": held by the holder of 10.0.0.12')
  })

  it('refuses it the second time when it is asked for twice', () => {
    const failure = failureOf(() => granted(planOf([range]), nobody, '10.0.0.12', '10.0.0.12'))
    expect(failure.message).toBe('Cannot claim "10.0.0.12": held by this attachment itself')
  })

  it('grants several of one range, and then no dynamic one', () => {
    expect(granted(planOf([range]), nobody, '10.0.0.12', '10.0.0.11')).toEqual(['10.0.0.12/24', '10.0.0.11/24'])
  })
})

describe('decide() of several ranges', () => {
  const v4 = rangeOf('10.0.0.0/24')
  const v6 = rangeOf('fd00::/64')

  it('grants one of each, in the order of the plan', () => {
    expect(granted(planOf([v6, v4]))).toEqual(['fd00::1/64', '10.0.0.1/24'])
  })

  it.each([
    [['10.0.0.9'], ['10.0.0.9/24', 'fd00::1/64']],
    [['fd00::9'], ['10.0.0.1/24', 'fd00::9/64']],
    [
      ['fd00::9', '10.0.0.9'],
      ['10.0.0.9/24', 'fd00::9/64'],
    ],
  ])(
    'grants what is requested of its range and a dynamic one of the other when asked for %j',
    (requested, addresses) => {
      expect(granted(planOf([v4, v6]), nobody, ...requested)).toEqual(addresses)
    },
  )

  it.each([
    ['is of its bounds', [], '10.0.0.25', ['10.0.0.10/24', '10.0.0.25/24']],
    ['does not exclude it', ['10.0.0.12'], '10.0.0.12', ['10.0.0.10/24', '10.0.0.12/24']],
    ['comes first, when it lies in the bounds of none', [], '10.0.0.99', ['10.0.0.99/24', '10.0.0.20/24']],
  ])('grants a requested address in place of the one of the range that %s', (_, excluded, asked, addresses) => {
    const bounded = [
      rangeOf('10.0.0.0/24', { start: '10.0.0.10', end: '10.0.0.19', excluded }),
      rangeOf('10.0.0.0/24', { start: '10.0.0.20', end: '10.0.0.29' }),
    ]
    expect(granted(planOf(bounded), nobody, asked)).toEqual(addresses)
  })

  it('grants two different addresses when two ranges are the same', () => {
    expect(granted(planOf([v4, rangeOf('10.0.0.0/24')]))).toEqual(['10.0.0.1/24', '10.0.0.2/24'])
  })

  it('keeps a dynamic address off the fixed one that comes later', () => {
    const plan = planOf([rangeOf('10.0.0.0/24')], [fixedOf('10.0.0.1/24')])
    expect(granted(plan)).toEqual(['10.0.0.2/24', '10.0.0.1/24'])
  })

  it('fails as a whole when the last range is exhausted', () => {
    const plan = planOf([v4, rangeOf('fd00::9/128')])
    expect(failureOf(() => granted(plan, heldOf('fd00::9'))).errorName).toBe('ERR_EXHAUSTED')
  })

  it('lists all subnets when a requested address lies in none', () => {
    const failure = failureOf(() => granted(planOf([v4, v6], [fixedOf('10.9.0.1/16')]), nobody, '192.0.2.1'))
    expect(failure.message).toContain('(10.0.0.0/24, fd00::/64, 10.9.0.0/16)')
  })
})

describe('decide() of fixed addresses', () => {
  it('grants all of them with their own gateways', () => {
    const plan = planOf([], [fixedOf('10.0.0.7/24', '10.0.0.1'), fixedOf('fd00::7/64')])
    expect(decide(plan, [], nobody)).toEqual([
      { ...plan.fixed[0], range: '10.0.0.0/24' },
      { ...plan.fixed[1], range: 'fd00::/64' },
    ])
  })

  it('refuses one that is held, and names the holder', () => {
    const failure = failureOf(() => granted(planOf([], [fixedOf('10.0.0.7/24')]), heldOf('10.0.0.7')))
    expect([failure.errorName, failure.message]).toEqual([
      'ERR_TAKEN',
      'Cannot claim "10.0.0.7": held by the holder of 10.0.0.7',
    ])
  })

  it('grants a requested address in place of the fixed one of its subnet', () => {
    const plan = planOf([], [fixedOf('10.0.0.7/24'), fixedOf('fd00::7/64')])
    expect(granted(plan, heldOf('10.0.0.7'), '10.0.0.8')).toEqual(['10.0.0.8/24', 'fd00::7/64'])
  })
})

describe('decide() of a plan without ranges', () => {
  it('grants what is requested with its own prefix', () => {
    expect(granted(planOf([]), nobody, '10.0.0.7/24', 'fd00::7/64')).toEqual(['10.0.0.7/24', 'fd00::7/64'])
  })

  it('grants nothing when nothing is requested', () => {
    expect(granted(planOf([]))).toEqual([])
  })

  it('refuses an address without a prefix', () => {
    const failure = failureOf(() => granted(planOf([]), nobody, '10.0.0.7'))
    expect(failure.errorName).toBe('ERR_CONFIG')
    expect(failure.message).toContain('"10.0.0.7"')
    expect(failure.message).toContain('"address/prefix"')
  })

  it('refuses an address that is held', () => {
    expect(failureOf(() => granted(planOf([]), heldOf('10.0.0.7'), '10.0.0.7/24')).errorName).toBe('ERR_TAKEN')
  })

  it('refuses an address that is asked for twice', () => {
    expect(failureOf(() => granted(planOf([]), nobody, '10.0.0.7/24', '10.0.0.7/24')).errorName).toBe('ERR_TAKEN')
  })
})

describe('readRequested()', () => {
  it('reads addresses with and without a prefix', () => {
    const read = readRequested(['10.0.0.7', 'fd00::7/64']).map(({ ip, prefix }) => [formatIp(ip), prefix])
    expect(read).toEqual([
      ['10.0.0.7', undefined],
      ['fd00::7', 64],
    ])
  })

  it.each(['', 'x', '10.0.0.7/33', '10.0.0', ' 10.0.0.7', '10.0.0.7,10.0.0.8'])('refuses %j and quotes it', (text) => {
    const failure = failureOf(() => readRequested(['10.0.0.1', text]))
    expect([failure.errorName, failure.message]).toEqual(['ERR_CONFIG', `Cannot claim "${text}": not an IP address`])
  })
})
