import { describe, expect, it } from 'vitest'
import {
  type AttachmentRecord,
  holdsAddress,
  leaseIp,
  parseRecord,
  recordKey,
  renderRecord,
} from '../../../ipam/ledger/record.ts'
import { describeKey, sameKey } from '../../../shared/attachment.ts'
import { keyOf, recordOf, signed } from '../../contract/records.ts'
import { ip } from '../../shared/addresses.ts'
import { failureOf } from '../../shared/failures.ts'

const least = recordOf(keyOf('ctr-1'), [])
const whole = recordOf(keyOf('ctr-1'), ['10.0.0.7/24', 'fd00::7/64'], {
  link: { index: 1_048_577, mac: '02:00:00:00:00:01' },
  netns: { path: '/run/netns/ä', dev: 4, ino: 4_026_531_840 },
  pod: { name: 'pod' },
  keepMs: 86_400_000,
})
describe('parseRecord()', () => {
  it.each([
    ['the least', least],
    ['a whole', whole],
    ['one of another space', recordOf(keyOf('ctr-1'), ['10.0.0.7/24'], { space: 'blue' })],
  ])('reads back %s record when it was rendered', (_, record) => {
    expect(parseRecord(renderRecord(record))).toEqual(record)
  })

  it('reads one line with the checksum as its last member when another tool looks at it', () => {
    const text = renderRecord(whole)
    expect(text.split('\n')).toHaveLength(2)
    expect(JSON.parse(text)).toEqual({ ...whole, crc32: expect.stringMatching(/^[0-9a-f]{8}$/) })
  })

  it.each<[string, object]>([
    ['of a later format', { ...whole, format: 2 }],
    ['with a key it does not know', { ...whole, colour: 'blue' }],
    ['with an unknown key in a lease', { ...whole, leases: [{ address: '10.0.0.7/24', range: 'x', until: 5 }] }],
    ['with a lease that is no address', { ...whole, leases: [{ address: '10.0.0.7', range: 'x' }] }],
    ['without its leases', { ...whole, leases: undefined }],
    ['without a boot', { ...whole, bootId: undefined }],
    ['without a host', { ...whole, host: undefined }],
    ['with half a namespace', { ...whole, netns: { path: '/run/netns/a', dev: 4 } }],
    ['with a link index that is a text', { ...whole, link: { index: '5', mac: '02:00:00:00:00:01' } }],
    ['with a link index of 0', { ...whole, link: { index: 0, mac: '02:00:00:00:00:01' } }],
    ['with a time to keep that is none', { ...whole, keepMs: -1 }],
  ])('refuses one %s when its checksum is right', (_, record) => {
    expect(parseRecord(signed(record))).toBeUndefined()
  })

  it('refuses it when any byte is another one', () => {
    const bytes = Buffer.from(renderRecord(whole))
    for (let at = 0; at < bytes.length; at++) {
      for (const flip of [0x01, 0x20, 0x80]) {
        const flipped = Buffer.from(bytes)
        flipped[at] = (flipped[at] ?? 0) ^ flip
        expect(parseRecord(flipped.toString('utf8')), `byte ${at} ^ ${flip}`).toBeUndefined()
      }
    }
  })

  it('refuses it when it is cut short anywhere, or empty', () => {
    const text = renderRecord(whole)
    for (let length = 0; length < text.length; length++) {
      expect(parseRecord(text.slice(0, length)), `${length} characters`).toBeUndefined()
    }
  })
})

it('parseRecord() refuses a text when something stands beside the record', () => {
  const line = renderRecord(whole)
  for (const text of [`${line}x`, `${line}\n`, `${line}${line}`, `${line}\0\0`, ` ${line}`]) {
    expect(parseRecord(text), JSON.stringify(text.slice(-10))).toBeUndefined()
  }
})

describe('leaseIp()', () => {
  it('gives the address when the lease has one', () => {
    expect(whole.leases.map(leaseIp)).toEqual([ip('10.0.0.7'), ip('fd00::7')])
  })

  it('calls the lease damaged and quotes it when it has none', () => {
    const failure = failureOf(() => leaseIp({ address: 'x', range: '' }))
    expect([failure.errorName, failure.message]).toEqual(['ERR_DAMAGED', 'Cannot read lease "x": not an address'])
  })
})

describe('holdsAddress()', () => {
  const mixed: AttachmentRecord = {
    ...least,
    leases: [
      { address: '10.0.0.7/24', range: '' },
      { address: '10.0.0.8/24', range: '', space: 'blue' },
    ],
  }
  it.each([
    ['default', '10.0.0.7', true],
    ['blue', '10.0.0.8', true],
    ['blue', '10.0.0.7', false],
    ['default', '10.0.0.8', false],
    ['default', '::10.0.0.7', false],
  ])('goes by the space of each lease when asked for %s %s', (space, address, holds) => {
    expect(holdsAddress(mixed, space, ip(address))).toBe(holds)
  })
})

describe('sameKey()', () => {
  it('goes by network, container and interface when keys are compared', () => {
    expect(recordKey(whole)).toEqual({ network: 'storage', containerId: 'ctr-1', ifName: 'net1' })
    expect(describeKey(recordKey(whole))).toBe('"ctr-1/net1" of network "storage"')
    expect(sameKey(keyOf('ctr-1'), keyOf('ctr-1'))).toBe(true)
  })

  it.each([
    ['network', { network: 'x' }],
    ['container', { containerId: 'x' }],
    ['interface', { ifName: 'x' }],
  ])('says no when the %s is another one', (_, other) => {
    expect(sameKey(keyOf('ctr-1'), { ...keyOf('ctr-1'), ...other })).toBe(false)
  })
})
