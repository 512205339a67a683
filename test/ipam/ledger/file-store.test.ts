import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { FileStore } from '../../../ipam/ledger/file-store.ts'
import { type AttachmentRecord, renderRecord } from '../../../ipam/ledger/record.ts'
import { keyOf, recordOf, signed } from '../../contract/records.ts'
import { ip } from '../../shared/addresses.ts'
import { failureOf } from '../../shared/failures.ts'
import { temporaryDirectory } from '../../shared/temporary.ts'

let dataDir: string
let store: FileStore
beforeEach(() => {
  dataDir = temporaryDirectory()
  store = new FileStore(dataDir)
})

const key = keyOf('ctr-1')
const record = recordOf(key, ['10.0.0.7/24', 'fd00::7/64'])
const pathOf = (name: string): string => `${dataDir}/leases/${name}`
const namesOf = (): string[] => readdirSync(`${dataDir}/leases`).sort()
const put = (one: AttachmentRecord) => store.locked(() => store.put([one])[0])
const remove = (): boolean => store.locked(() => store.remove(key, 0))
const attachment = 'storage,ctr-1,net1'

describe('FileStore on disk', () => {
  it('has one file an attachment, with a name for itself and for each address', () => {
    put(record)
    expect(readdirSync(dataDir).sort()).toEqual(['journal', 'leases', 'lock'])
    expect(namesOf()).toEqual(['10.0.0.7', 'fd00::7', attachment])
    const files = namesOf().map((name) => lstatSync(pathOf(name)))
    expect(new Set(files.map(({ ino }) => ino)).size).toBe(1)
    expect(files.map(({ nlink, mode }) => [nlink, mode & 0o777])).toEqual(files.map(() => [3, 0o600]))
    expect(readFileSync(pathOf('fd00::7'), 'utf8')).toBe(renderRecord(record))
  })

  it('writes the space behind an address that is not of the space "default"', () => {
    put(recordOf(key, ['10.0.0.7/24', 'fd00::7/64'], { space: 'blue' }))
    expect(namesOf()).toEqual(['10.0.0.7@blue', 'fd00::7@blue', attachment])
  })

  it('has no name left when everything is removed or was refused', () => {
    put(record)
    put(recordOf(keyOf('ctr-2'), ['10.0.0.8/24', '10.0.0.7/24']))
    expect(() => put(recordOf(key, ['10.0.0.9/24']))).toThrow()
    expect(namesOf()).toEqual(['10.0.0.7', 'fd00::7', attachment])
    remove()
    expect(namesOf()).toEqual([])
  })

  it('makes nothing until it is locked', () => {
    store.exists()
    store.find(key)
    store.list()
    store.remove(key, 0)
    expect(readdirSync(dataDir)).toEqual([])
  })

  it('serves what another store of the same directory put', () => {
    put(record)
    expect(new FileStore(dataDir).find(key)).toEqual(record)
  })
})

describe('FileStore with a damaged record', () => {
  const damages: readonly [string, string][] = [
    ['empty', ''],
    ['cut short', renderRecord(record).slice(0, -20)],
    ['no JSON', 'hello'],
    ['a list', '[]'],
    ['of another format', signed({ ...record, format: 2 })],
    ['without a key', signed({ ...record, bootId: undefined })],
    ['with an address that is none', signed({ ...record, leases: [{ address: '10.0.0.700/24', range: '' }] })],
    ['with another checksum', renderRecord(record).replace('10.0.0.7/24', '10.0.0.8/24')],
  ]
  const damage = (text: string): void => {
    put(record)
    writeFileSync(pathOf(attachment), text)
  }

  it.each(damages)('find() names the file when it is %s', (_, text) => {
    damage(text)
    const failure = failureOf(() => store.find(key))
    expect([failure.errorName, failure.code]).toEqual(['ERR_DAMAGED', 104])
    expect(failure.message).toContain(`"${pathOf(attachment)}" is damaged`)
    expect(failure.message).toContain('"ctr-1/net1" of network "storage"')
  })

  it.each(damages)('list() names it and keeps the others when it is %s', (_, text) => {
    const other = recordOf(keyOf('ctr-2'), ['10.0.0.8/24'])
    put(other)
    damage(text)
    expect(store.list()).toEqual({ records: [other], kept: [], damaged: [attachment] })
  })

  it.each(damages)('its addresses stay held and their holder is unknown when it is %s', (_, text) => {
    damage(text)
    expect(store.isHeld('default', ip('10.0.0.7'))).toBe(true)
    expect(store.holder('default', ip('10.0.0.7'))).toBeUndefined()
    expect(put(recordOf(keyOf('ctr-2'), ['10.0.0.7/24']))).toEqual(ip('10.0.0.7'))
  })

  it.each(damages)('remove() frees all its addresses, and no others, when it is %s', (_, text) => {
    put(recordOf(keyOf('ctr-2'), ['10.0.0.8/24']))
    damage(text)
    expect(remove()).toBe(true)
    expect(namesOf()).toEqual(['10.0.0.8', 'storage,ctr-2,net1'])
  })

  it('find() and list() call a record damaged that is of another attachment', () => {
    damage(renderRecord({ ...record, containerId: 'ctr-9' }))
    expect(failureOf(() => store.find(key)).errorName).toBe('ERR_DAMAGED')
    expect(store.list()).toEqual({ records: [], kept: [], damaged: [attachment] })
  })

  it('remove() frees its addresses when the record is of another attachment', () => {
    damage(renderRecord(recordOf(keyOf('ctr-9'), ['10.0.0.9/24'])))
    remove()
    expect(namesOf()).toEqual([])
  })
})

describe('FileStore after a put() that was cut short', () => {
  /** The names that a put had made when it was killed: the first `count` of them. */
  const cutShort = (count: number): void => {
    mkdirSync(`${dataDir}/leases`)
    writeFileSync(pathOf(`.new,${attachment}`), renderRecord(record))
    for (const name of [attachment, '10.0.0.7', 'fd00::7'].slice(0, count))
      linkSync(pathOf(`.new,${attachment}`), pathOf(name))
  }

  it.each([1, 2, 3])('complete() claims what is missing when %i names were made', (count) => {
    cutShort(count)
    expect(store.find(key)).toEqual(record)
    expect(store.locked(() => store.complete(record, 0))).toEqual(record)
    expect(namesOf().filter((name) => !name.startsWith('.'))).toEqual(['10.0.0.7', 'fd00::7', attachment])
    expect(store.holder('default', ip('fd00::7'))).toEqual(record)
  })

  it.each(['10.0.0.7', 'fd00::7'])(
    'complete() answers nothing when %s has gone to somebody else, who keeps it',
    (address) => {
      cutShort(1)
      const other = recordOf(keyOf('ctr-2'), [`${address}/24`])
      put(other)
      expect(store.locked(() => store.complete(record, 0))).toBeUndefined()
      remove()
      expect(store.holder('default', ip(address))).toEqual(other)
      expect(store.list().records).toEqual([other])
      expect(namesOf()).toHaveLength(2)
    },
  )

  it.each([0, 1, 2, 3])('remove() leaves nothing when %i names were made', (count) => {
    cutShort(count)
    expect(remove()).toBe(count > 0)
    expect(namesOf()).toEqual([])
  })

  it('put() replaces what is left when no name was made', () => {
    cutShort(0)
    expect(store.find(key)).toBeUndefined()
    expect(store.list()).toEqual({ records: [], kept: [], damaged: [] })
    const again = recordOf(key, ['10.0.0.8/24'])
    expect(put(again)).toBeUndefined()
    expect(store.find(key)).toEqual(again)
    expect(namesOf()).toEqual(['10.0.0.8', attachment])
  })

  it('put() does not write into the file of an attachment when a name of it is left', () => {
    cutShort(3)
    unlinkSync(pathOf(attachment))
    put(recordOf(key, ['10.0.0.8/24']))
    expect(readFileSync(pathOf('10.0.0.7'), 'utf8')).toBe(renderRecord(record))
  })
})

describe('FileStore with names that are not its own', () => {
  it('remove() leaves the name of another file, whatever the record says', () => {
    put(record)
    unlinkSync(pathOf('10.0.0.7'))
    const other = recordOf(keyOf('ctr-2'), ['10.0.0.7/24'])
    put(other)
    expect(remove()).toBe(true)
    expect(store.holder('default', ip('10.0.0.7'))).toEqual(other)
  })

  it('put() does not follow symlinks', () => {
    mkdirSync(`${dataDir}/leases`)
    writeFileSync(`${dataDir}/victim`, 'precious')
    symlinkSync(`${dataDir}/victim`, pathOf(`.new,${attachment}`))
    symlinkSync(`${dataDir}/absent`, pathOf('10.0.0.7'))
    expect(put(record)).toEqual(ip('10.0.0.7'))
    expect(readFileSync(`${dataDir}/victim`, 'utf8')).toBe('precious')
    expect(existsSync(`${dataDir}/absent`)).toBe(false)
  })

  it('list() passes over what is no attachment', () => {
    put(record)
    for (const name of ['README', '.hidden', '10.0.0.99']) writeFileSync(pathOf(name), 'x')
    mkdirSync(pathOf('folder'))
    expect(store.list()).toEqual({ records: [record], kept: [], damaged: [] })
  })
})
