/** What the first claim after a boot makes of what a power cut left: everything that was answered, and nothing that was released. */
import fs, { mkdtempSync, rmSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FileStore } from '../../../ipam/ledger/file-store.ts'
import { keyOf, recordOf } from '../../contract/records.ts'
import { ip } from '../../shared/addresses.ts'

let dataDir = ''
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'berth-recover-'))
})
afterEach(() => rmSync(dataDir, { recursive: true, force: true }))

describe('FileStore.recover() after a power cut', () => {
  const leases = (): string => join(dataDir, 'leases')
  /** The store as a process of the next boot finds it. */
  const afterBoot = (): FileStore => {
    const store = new FileStore(dataDir)
    store.locked(() => store.recover())
    return store
  }
  const kept = { keepMs: 60_000, pod: { namespace: 'ns', name: 'web-0' } }
  const [a, b, c, d] = [
    recordOf(keyOf('a'), ['10.0.0.1/24', 'fd00::1/64']),
    recordOf(keyOf('b'), ['10.0.0.2/24']),
    recordOf(keyOf('c'), ['10.0.0.3/24'], kept),
    recordOf(keyOf('d'), []),
  ] as const

  it.each<[string, () => void]>([
    ['no name', () => rmSync(leases(), { recursive: true })],
    ['empty files only', () => fs.readdirSync(leases()).forEach((name) => void fs.truncateSync(join(leases(), name)))],
    [
      "some of an attachment's names",
      () => ['fd00::1', '10.0.0.2'].forEach((name) => void fs.unlinkSync(join(leases(), name))),
    ],
    ['everything', () => undefined],
  ])('has every record that was put and not released when the disk kept %s', (_, cut) => {
    const before = new FileStore(dataDir)
    before.locked(() => {
      before.put([a, b])
      before.put([c, d])
      before.put([recordOf(keyOf('gone'), ['10.0.0.9/24'])])
      before.remove(keyOf('gone'), 0)
    })
    cut()
    fs.mkdirSync(leases(), { recursive: true })
    const store = afterBoot()
    const records = store.list().records.map(({ containerId }) => containerId)
    expect(records.sort()).toEqual(['a', 'b', 'c', 'd'])
    expect(store.inspect()).toEqual([])
    expect(store.isHeld('default', ip('10.0.0.9'))).toBe(false)
  })

  it('leaves an address with who claimed it last when it was given twice one after the other', () => {
    const before = new FileStore(dataDir)
    before.locked(() => {
      before.put([b])
      before.remove(keyOf('b'), 0)
      before.put([recordOf(keyOf('later'), ['10.0.0.2/24'])])
    })
    rmSync(leases(), { recursive: true })
    fs.mkdirSync(leases())
    const store = afterBoot()
    expect(store.list().records.map(({ containerId }) => containerId)).toEqual(['later'])
    expect(store.inspect()).toEqual([])
  })

  it('has the record that replaced another when the disk kept the other, whoever has its address by now', () => {
    const before = new FileStore(dataDir)
    const after = recordOf(keyOf('a'), ['fd00::1/64', '10.0.0.5/24'])
    before.locked(() => before.put([a]))
    fs.cpSync(leases(), join(dataDir, 'old'), { recursive: true })
    before.locked(() => before.replace(after, 0))
    before.locked(() => before.put([recordOf(keyOf('later'), ['10.0.0.1/24'])]))
    rmSync(leases(), { recursive: true })
    fs.mkdirSync(leases())
    // Copied, it has lost its hard links.
    const [one = '', ...others] = fs.readdirSync(join(dataDir, 'old'))
    fs.renameSync(join(dataDir, 'old', one), join(leases(), one))
    for (const other of others) fs.linkSync(join(leases(), one), join(leases(), other))
    const store = afterBoot()
    expect(store.find(keyOf('a'))).toEqual(after)
    expect(store.holder('default', ip('10.0.0.1'))?.containerId).toBe('later')
    expect(store.inspect()).toEqual([])
  })

  it('has the old record when the replacement was taken back, and somebody else has what it was to have', () => {
    const before = new FileStore(dataDir)
    before.locked(() => before.put([b]))
    const { renameSync } = fs
    Object.assign(fs, {
      renameSync: (): never => {
        throw new Error('killed')
      },
    })
    syncBuiltinESMExports()
    expect(() => before.locked(() => before.replace(recordOf(keyOf('b'), ['10.0.0.2/24', '10.0.0.5/24']), 0))).toThrow()
    Object.assign(fs, { renameSync })
    syncBuiltinESMExports()
    before.locked(() => before.removeLeftOvers(0))
    before.locked(() => before.put([recordOf(keyOf('later'), ['10.0.0.5/24'])]))
    rmSync(leases(), { recursive: true })
    fs.mkdirSync(leases())
    const store = afterBoot()
    expect(store.find(keyOf('b'))).toEqual(b)
    expect(store.holder('default', ip('10.0.0.5'))?.containerId).toBe('later')
  })

  it('does not have an imported record that was released last, when the disk kept its names', () => {
    const before = new FileStore(dataDir)
    const imported = { ...b, imported: 'host-local' }
    before.locked(() => before.put([imported]))
    fs.mkdirSync(join(dataDir, 'old'))
    for (const name of fs.readdirSync(leases())) fs.linkSync(join(leases(), name), join(dataDir, 'old', name))
    before.locked(() => before.remove(keyOf('b'), Date.now()))
    rmSync(leases(), { recursive: true })
    fs.renameSync(join(dataDir, 'old'), leases())
    expect(afterBoot().list().records).toEqual([])
  })

  it('keeps what was torn since the time at which it was released', () => {
    const before = new FileStore(dataDir)
    before.locked(() => before.put([c]))
    before.locked(() => before.remove(keyOf('c'), 1_700_000_000_000))
    const path = join(leases(), '~storage,ns,web-0,net1')
    fs.truncateSync(path)
    fs.utimesSync(path, 1_700_000_000, 1_700_000_000)
    expect(afterBoot().list().kept).toEqual([{ record: c, sinceMs: 1_700_000_000_000 }])
  })

  it('passes over what is torn, and starts the journal anew', () => {
    const before = new FileStore(dataDir)
    before.locked(() => before.put([a, b]))
    const path = join(dataDir, 'journal')
    fs.writeFileSync(path, fs.readFileSync(path, 'utf8').replace('"containerId":"a"', '"containerId":"x"'))
    rmSync(leases(), { recursive: true })
    fs.mkdirSync(leases())
    expect(afterBoot().list().records).toEqual([b])
    expect(fs.readFileSync(path, 'utf8').trim()).toBe('berth-journal 1 end 64')
    rmSync(leases(), { recursive: true })
    fs.mkdirSync(leases())
    expect(afterBoot().list().records).toEqual([])
  })
})
