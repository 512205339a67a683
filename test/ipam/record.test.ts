import { describe, expect, it } from 'vitest'
import { describeKey, leaseIp, parseRecord, recordKey, renderRecord, sameKey } from '../../ipam/record.ts'
import { keyOf, recordOf } from '../contract/records.ts'
import { ip } from '../shared/addresses.ts'
import { failureOf } from '../shared/failures.ts'

const least = recordOf(keyOf('ctr-1'), [])
const whole = recordOf(keyOf('ctr-1'), ['10.0.0.7/24', 'fd00::7/64'], {
  link: { index: 1_048_577, mac: '02:00:00:00:00:01' },
  netns: { path: '/run/netns/a', dev: 4, ino: 4_026_531_840 },
  pod: { name: 'pod' },
})

describe('parseRecord()', () => {
  it.each([
    ['the least', least],
    ['a whole', whole],
  ])('reads back %s record', (_, record) => {
    expect(parseRecord(renderRecord(record))).toEqual(record)
  })

  it.each<[string, object]>([
    ['of a later format', { ...whole, format: 2 }],
    ['with a key it does not know', { ...whole, colour: 'blue' }],
    ['with an unknown key in a lease', { ...whole, leases: [{ address: '10.0.0.7/24', range: 'x', until: 5 }] }],
    ['with a lease that is no address', { ...whole, leases: [{ address: '10.0.0.7', range: 'x' }] }],
    ['without its leases', { ...whole, leases: undefined }],
    ['without a boot', { ...whole, bootId: undefined }],
    ['with half a namespace', { ...whole, netns: { path: '/run/netns/a', dev: 4 } }],
    ['with a link index that is a text', { ...whole, link: { index: '5', mac: '02:00:00:00:00:01' } }],
  ])('refuses one %s', (_, record) => {
    expect(parseRecord(JSON.stringify(record))).toBeUndefined()
  })

  it('refuses every beginning of one', () => {
    const text = renderRecord(whole).trimEnd()
    for (let length = 0; length < text.length; length++) expect(parseRecord(text.slice(0, length))).toBeUndefined()
  })
})

describe('leaseIp()', () => {
  it('gives the address of a lease', () => {
    expect(whole.leases.map(leaseIp)).toEqual([ip('10.0.0.7'), ip('fd00::7')])
  })

  it('calls a lease damaged that has none, and quotes it', () => {
    const failure = failureOf(() => leaseIp({ address: 'x', range: '' }))
    expect([failure.errorName, failure.message]).toEqual(['ERR_DAMAGED', 'Cannot read lease "x": not an address'])
  })
})

describe('the key of a record', () => {
  it('is its network, container and interface', () => {
    expect(recordKey(whole)).toEqual({ network: 'storage', containerId: 'ctr-1', ifName: 'net1' })
    expect(describeKey(recordKey(whole))).toBe('"ctr-1/net1" of network "storage"')
  })

  it.each([
    ['network', { network: 'x' }],
    ['container', { containerId: 'x' }],
    ['interface', { ifName: 'x' }],
  ])('is another one when its %s is', (_, other) => {
    expect(sameKey(keyOf('ctr-1'), keyOf('ctr-1'))).toBe(true)
    expect(sameKey(keyOf('ctr-1'), { ...keyOf('ctr-1'), ...other })).toBe(false)
  })
})
