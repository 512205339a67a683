/** What is kept on disk: the names, and every state that a kill leaves between them. */
import { linkSync, lstatSync, readdirSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { FileStore } from '../../../ipam/ledger/file-store.ts'
import { type AttachmentRecord, renderRecord } from '../../../ipam/ledger/record.ts'
import { keyOf, recordOf } from '../../contract/records.ts'
import { ip } from '../../shared/addresses.ts'
import { temporaryDirectory } from '../../shared/temporary.ts'

const nowMs = 1_700_000_000_000
const wish = { keepMs: 60_000, pod: { namespace: 'ns', name: 'pod' } }
const old = recordOf(keyOf('old'), ['10.0.0.7/24', 'fd00::7/64'], wish)
const next = recordOf(keyOf('next'), ['10.0.0.7/24', 'fd00::7/64'], wish)
const keptName = '~storage,ns,pod,net1'
const nextName = 'storage,next,net1'

let dataDir: string
let store: FileStore
beforeEach(() => {
  dataDir = temporaryDirectory()
  store = new FileStore(dataDir)
  put(old)
  store.locked(() => store.remove(keyOf('old'), nowMs))
})

const pathOf = (name: string): string => `${dataDir}/leases/${name}`
const namesOf = (): string[] => readdirSync(`${dataDir}/leases`).sort()
const put = (...records: AttachmentRecord[]) => store.locked(() => store.put(records))
const inode = (name: string): number => lstatSync(pathOf(name)).ino

/** The names that a take-over had made when it was killed: its file, the attachment, and the first `count` addresses. */
function cutShort(count: number, passing = false): void {
  writeFileSync(pathOf(`.new,${nextName}`), renderRecord(next))
  linkSync(pathOf(`.new,${nextName}`), pathOf(nextName))
  for (const name of ['10.0.0.7', 'fd00::7'].slice(0, count)) {
    linkSync(pathOf(nextName), pathOf('.passing'))
    renameSync(pathOf('.passing'), pathOf(name))
  }
  if (passing) linkSync(pathOf(nextName), pathOf('.passing'))
}

describe('FileStore with a kept record', () => {
  it('has it under the name of the pod, beside its addresses, with the time of the release', () => {
    expect(namesOf()).toEqual(['10.0.0.7', 'fd00::7', keptName])
    expect(new Set(namesOf().map(inode)).size).toBe(1)
    expect(lstatSync(pathOf(keptName)).mtimeMs).toBe(nowMs)
  })

  it('calls it damaged, and leaves its addresses held, when it cannot be read', () => {
    writeFileSync(pathOf(keptName), 'x')
    expect(store.list()).toEqual({ records: [], kept: [], damaged: [keptName] })
    expect(store.findKept(next)).toBeUndefined()
    expect(put(next)).toEqual([ip('10.0.0.7')])
    expect(store.isHeld('default', ip('fd00::7'))).toBe(true)
  })

  it('takes no name of another attachment over when that was put together with what is kept', () => {
    const [a, b] = ['a', 'b'].map((name, index) =>
      recordOf(keyOf(name), [`10.0.1.${index}/24`], { keepMs: 60_000, pod: { namespace: 'ns', name } }),
    )
    if (a === undefined || b === undefined) throw new TypeError('two were made')
    put(a, b)
    store.locked(() => store.remove(keyOf('b'), nowMs))
    expect(put({ ...b, containerId: 'b2', leases: a.leases })).toEqual([ip('10.0.1.0')])
    expect(store.holder('default', ip('10.0.1.0'))).toEqual(a)
    expect(store.findKept(b)?.record).toEqual(b)
  })
})

describe('FileStore after a take-over that was cut short', () => {
  const states = [0, 1, 2].flatMap((count) => [false, true].map((passing): [number, boolean] => [count, passing]))

  it.each(states)('complete() completes it when %i addresses were its own (passing name: %s)', (count, passing) => {
    cutShort(count, passing)
    expect(store.locked(() => store.complete(next, nowMs))).toEqual(next)
    store.locked(() => store.removeLeftOvers(nowMs))
    expect(namesOf()).toEqual(['10.0.0.7', 'fd00::7', nextName])
    expect(new Set(namesOf().map(inode)).size).toBe(1)
    expect(store.inspect()).toEqual([])
  })

  it.each(states)('remove() and dropKept() leave nothing when %i addresses were its own (%s)', (count, passing) => {
    cutShort(count, passing)
    expect(store.locked(() => store.remove(keyOf('next'), nowMs))).toBe(true)
    store.locked(() => store.dropKept(next, nowMs))
    store.locked(() => store.removeLeftOvers(nowMs))
    expect(namesOf()).toEqual([])
  })

  it.each(states)('every address is held at every instant when %i were its own (%s)', (count, passing) => {
    cutShort(count, passing)
    expect(put(recordOf(keyOf('thief'), ['fd00::7/64'], { ...wish, pod: { namespace: 'ns', name: 'x' } }))).toEqual([
      ip('fd00::7'),
    ])
    expect(put(recordOf(keyOf('thief'), ['10.0.0.7/24']))).toEqual([ip('10.0.0.7')])
  })

  it('complete() answers nothing and takes nothing when a kept address was given up and went to somebody else', () => {
    cutShort(1)
    unlinkSync(pathOf('fd00::7'))
    const other = recordOf(keyOf('other'), ['fd00::7/64'])
    put(other)
    expect(store.locked(() => store.complete(next, nowMs))).toBeUndefined()
    expect(store.holder('default', ip('fd00::7'))).toEqual(other)
  })
})

describe('FileStore.firstLooks()', () => {
  it('gives back what was set, and nothing when the file is missing or no line is one', () => {
    expect(store.firstLooks('node-1')).toEqual(new Map())
    const looks = new Map([
      ['storage a net1 2026-01-02T03:04:05.678Z', nowMs],
      ['x', 0],
    ])
    store.setFirstLooks('node-1', looks)
    expect(store.firstLooks('node-1')).toEqual(looks)
    writeFileSync(`${dataDir}/sweep`, 'x\n-5 y\n\n7 z\n8')
    expect(store.firstLooks('node-1')).toEqual(
      new Map([
        ['z', 7],
        ['', 8],
      ]),
    )
    rmSync(`${dataDir}/sweep`)
    expect(store.firstLooks('node-1')).toEqual(new Map())
  })
})

describe('FileStore.removeLeftOvers()', () => {
  it('removes what killed calls left, names it, and leaves everything else', () => {
    cutShort(1, true)
    expect(store.locked(() => store.removeLeftOvers(nowMs)).sort()).toEqual([`.new,${nextName}`, '.passing'])
    expect(store.locked(() => store.removeLeftOvers(nowMs))).toEqual([])
    expect(namesOf()).toEqual(['10.0.0.7', 'fd00::7', nextName, keptName])
  })
})

describe('FileStore.inspect()', () => {
  const found = (): string[] => store.inspect().map(({ name, kind }) => `${kind}: ${name}`)

  it('finds nothing when all is as it should be, kept or held', () => {
    put(recordOf(keyOf('a'), ['10.0.1.1/24']), recordOf(keyOf('b'), []))
    expect(store.inspect()).toEqual([])
  })

  it.each<[string, () => void, string[]]>([
    ['a left-over record', () => writeFileSync(pathOf('.new,x'), ''), ['left over: .new,x']],
    ['a name of nobody', () => writeFileSync(pathOf('README'), ''), ['stranger: README']],
    ['an address that was removed', () => unlinkSync(pathOf('fd00::7')), [`incomplete: ${keptName}`]],
    [
      'an address of somebody else',
      () => {
        unlinkSync(pathOf('fd00::7'))
        put(recordOf(keyOf('a'), ['fd00::7/64']))
      },
      [`incomplete: ${keptName}`],
    ],
    ['a name that was removed', () => unlinkSync(pathOf(keptName)), ['orphan: 10.0.0.7', 'orphan: fd00::7']],
    [
      'a name that was removed of a file of several',
      () => {
        put(recordOf(keyOf('a'), ['10.0.1.1/24']), recordOf(keyOf('b'), ['10.0.1.2/24']))
        unlinkSync(pathOf('storage,a,net1'))
      },
      ['orphan: 10.0.1.1'],
    ],
    [
      'a record that cannot be read',
      () => writeFileSync(pathOf(keptName), ''),
      ['damaged: 10.0.0.7', 'damaged: fd00::7', `damaged: ${keptName}`],
    ],
    [
      'an address that its record does not name',
      () => linkSync(pathOf(keptName), pathOf('10.0.0.8')),
      ['damaged: 10.0.0.8'],
    ],
    [
      'an attachment whose record is of another one',
      () => linkSync(pathOf(keptName), pathOf('storage,z,net1')),
      ['damaged: storage,z,net1'],
    ],
    [
      'what is kept for another pod',
      () => renameSync(pathOf(keptName), pathOf('~x')),
      ['orphan: 10.0.0.7', 'orphan: fd00::7', 'damaged: ~x'],
    ],
  ])('finds %s', (_, harm, findings) => {
    harm()
    expect(found()).toEqual(findings)
  })

  it('changes nothing and says what is wrong', () => {
    unlinkSync(pathOf('fd00::7'))
    const names = namesOf()
    expect(store.inspect()[0]?.what).toBe('its record names "fd00::7", and nobody holds it')
    unlinkSync(pathOf(keptName))
    expect(store.inspect()[0]?.what).toBe(
      'held by "old/net1" of network "storage", whose name "storage,old,net1" is gone: no DEL will release it',
    )
    expect(namesOf()).toEqual(names.filter((name) => name !== keptName))
  })
})
