import { execFileSync } from 'node:child_process'
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { FileStore } from '../../../ipam/ledger/file-store.ts'
import { Spares } from '../../../ipam/ledger/spares.ts'
import { keyOf, recordOf } from '../../contract/records.ts'
import { temporaryDirectory } from '../../shared/temporary.ts'

let directory = ''
let spares: Spares
beforeEach(() => {
  directory = temporaryDirectory()
  spares = new Spares(directory)
})
const at = (name: string): string => `${directory}/${name}`
const inode = (name: string): number => statSync(at(name)).ino

describe('Spares', () => {
  it.each(['a longer text than that before', 'shorter', ''])('writes %j into a file that was kept', (text) => {
    writeFileSync(at('old'), 'what was there before')
    const before = inode('old')
    spares.keep(at('old'))
    expect(existsSync(at('old'))).toBe(false)
    spares.write(at('new'), text)
    expect([inode('new'), readFileSync(at('new'), 'utf8')]).toEqual([before, text])
    expect(readdirSync(directory)).toEqual(['new'])
  })

  it('makes a new file when none was kept, over what a killed call left', () => {
    writeFileSync(at('new'), 'left')
    spares.write(at('new'), 'text')
    expect(readFileSync(at('new'), 'utf8')).toBe('text')
  })

  it('finds the one that an earlier process kept', () => {
    writeFileSync(at('old'), 'before')
    const before = inode('old')
    spares.keep(at('old'))
    new Spares(directory).write(at('new'), 'text')
    expect(inode('new')).toBe(before)
    // The one that kept it makes a new one.
    spares.write(at('another'), 'text')
    expect(inode('another')).not.toBe(before)
  })

  it('keeps no file that has another name', () => {
    writeFileSync(at('old'), 'before')
    linkSync(at('old'), at('address'))
    spares.keep(at('old'))
    expect(readdirSync(directory)).toEqual(['address'])
  })

  it('writes into no file that has another name by now', () => {
    writeFileSync(at('old'), 'before')
    spares.keep(at('old'))
    linkSync(at('spare,0'), at('address'))
    spares.write(at('new'), 'text')
    expect([readFileSync(at('address'), 'utf8'), readFileSync(at('new'), 'utf8')]).toEqual(['before', 'text'])
  })

  it.each<[string, (path: string) => void]>([
    ['a directory', (path) => mkdirSync(path)],
    ['a FIFO', (path) => execFileSync('mkfifo', [path])],
    ['a symbolic link', (path) => symlinkSync(at('elsewhere'), path)],
  ])('does without when %s is in their place, and releases all the same', (_, put) => {
    put(at('spare,0'))
    spares.write(at('new'), 'text')
    expect(readFileSync(at('new'), 'utf8')).toBe('text')
    spares.keep(at('new'))
    expect([existsSync(at('new')), existsSync(at('elsewhere'))]).toEqual([false, false])
  })

  it('removes all of them when they are cleared', () => {
    for (const name of ['a', 'b', 'c']) {
      writeFileSync(at(name), name)
      spares.keep(at(name))
    }
    expect(readdirSync(directory)).toHaveLength(3)
    new Spares(directory).clear()
    expect(readdirSync(directory)).toEqual([])
  })
})

describe('FileStore', () => {
  it('gives a released record’s file to the next one, under none of its earlier names', () => {
    const store = new FileStore(directory)
    const [a, b] = [recordOf(keyOf('a'), ['10.0.0.1/24', '10.0.0.2/24']), recordOf(keyOf('b'), ['10.0.0.3/24'])]
    store.locked(() => store.put([a]))
    const before = inode('leases/10.0.0.1')
    store.locked(() => store.remove(keyOf('a'), 0))
    store.locked(() => store.put([b]))
    expect(inode('leases/10.0.0.3')).toBe(before)
    expect(readdirSync(at('leases')).sort()).toEqual(['10.0.0.3', 'storage,b,net1'])
    expect([store.list().records, store.inspect()]).toEqual([[b], []])
  })

  it.each<[string, () => void]>([
    ['knows of both', () => undefined],
    ['knows of neither', () => unlinkSync(at('journal'))],
  ])(
    'has its records back after a power cut that left names of one on the file of the next when the journal %s',
    (_, lose) => {
      const store = new FileStore(directory)
      const [a, b] = [recordOf(keyOf('a'), ['10.0.0.1/24']), recordOf(keyOf('b'), ['10.0.0.3/24'])]
      store.locked(() => store.put([a]))
      store.locked(() => store.remove(keyOf('a'), Date.parse(a.claimedAt) + 1000))
      store.locked(() => store.put([b]))
      for (const name of ['storage,a,net1', '10.0.0.1']) linkSync(at('leases/10.0.0.3'), at(`leases/${name}`))
      lose()
      const after = new FileStore(directory)
      after.locked(() => after.recover())
      expect([after.list(), after.inspect()]).toEqual([{ records: [b], kept: [], damaged: [] }, []])
      expect(readdirSync(at('leases')).sort()).toEqual(['10.0.0.3', 'storage,b,net1'])
    },
  )
})
