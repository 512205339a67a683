/**
 * A replacement of a record that is killed, or fails, at each of its calls of the file system: what both records have is held at
 * every instant, and whoever comes next finds one record, or leaves nothing.
 */
import fs, { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FileStore } from '../../../ipam/ledger/file-store.ts'
import type { AttachmentRecord } from '../../../ipam/ledger/record.ts'
import { setLogLevel } from '../../../shared/log.ts'
import { keyOf, recordOf } from '../../contract/records.ts'
import { copyDirectory } from '../../crash/directory.ts'
import { ip } from '../../shared/addresses.ts'

setLogLevel('error')
const nowMs = 1_700_000_000_000
const changing = [
  'openSync',
  'writeSync',
  'writeFileSync',
  'fdatasyncSync',
  'fsyncSync',
  'ftruncateSync',
  'linkSync',
  'renameSync',
  'unlinkSync',
] as const
const originals = new Map<string, (...args: never[]) => unknown>(changing.map((name) => [name, fs[name]]))

function mend(): void {
  Object.assign(fs, Object.fromEntries(originals))
  syncBuiltinESMExports()
}
afterEach(mend)

/** In memory where there is some: hundreds of stores are made, and none of them outlives a power cut. */
const place = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
let [directory, made] = ['', 0]
beforeEach(() => {
  directory = mkdtempSync(`${place}/berth-replace-`)
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const newDataDir = (): string => `${directory}/${++made}`

class Killed extends Error {}

type Fault = 'SIGKILL' | 'EIO' | 'ENOSPC' | 'EROFS'

/** Runs `work` with a fault at the call `failing`, counted from 0; `look` is called before each. Returns how many calls there were. */
function withFault(work: () => void, failing: number, fault: Fault | undefined, look = (): void => undefined): number {
  let [count, looking] = [0, false]
  for (const [name, original] of originals) {
    const faulty = (...args: never[]): unknown => {
      if (looking) return original(...args)
      looking = true
      look()
      looking = false
      const index = count++
      // After a kill nothing is called any more.
      if (fault === 'SIGKILL' && index >= failing) throw new Killed()
      if (fault !== undefined && index === failing) throw Object.assign(new Error('injected'), { code: fault })
      return original(...args)
    }
    Object.assign(fs, { [name]: faulty })
  }
  syncBuiltinESMExports()
  try {
    work()
  } catch (error) {
    if (!(error instanceof Killed) && !(error instanceof Error && error.message.includes('injected'))) throw error
  } finally {
    mend()
  }
  return count
}

const key = keyOf('a')
const pod = { keepMs: 60_000, pod: { namespace: 'ns', name: 'web-0' } }
const bystander = recordOf(keyOf('z'), ['10.0.0.9/24'])
const shapes: readonly [string, AttachmentRecord, AttachmentRecord][] = [
  ['more', recordOf(key, ['10.0.0.1/24', 'fd00::1/64']), recordOf(key, ['10.0.0.1/24', 'fd00::1/64', '10.0.0.2/24'])],
  ['others', recordOf(key, ['10.0.0.1/24']), recordOf(key, ['10.0.0.2/24'])],
  [
    'some others',
    recordOf(key, ['10.0.0.1/24', '10.0.0.3/24'], pod),
    recordOf(key, ['10.0.0.3/24', '10.0.0.2/24'], pod),
  ],
  ['fewer', recordOf(key, ['10.0.0.1/24', 'fd00::1/64']), recordOf(key, ['fd00::1/64'])],
]
const addressesOf = ({ leases }: AttachmentRecord): string[] => leases.map(({ address }) => address.replace(/\/.*/, ''))
const all = ['10.0.0.1', '10.0.0.2', '10.0.0.3', 'fd00::1']

interface Scene {
  readonly template: string
  readonly both: readonly string[]
  readonly before: AttachmentRecord
  readonly after: AttachmentRecord
}

function sceneOf(before: AttachmentRecord, after: AttachmentRecord): Scene {
  const template = newDataDir()
  const store = new FileStore(template)
  store.locked(() => store.put([before, bystander]))
  return { template, before, after, both: addressesOf(before).filter((one) => addressesOf(after).includes(one)) }
}

/** The addresses whose names are there. */
const heldIn = (dataDir: string): string[] => all.filter((one) => fs.existsSync(`${dataDir}/leases/${one}`))

/** What each one who comes next must find. */
const followers: Record<string, (store: FileStore, scene: Scene) => void> = {
  complete: (store, { before, after }) => {
    const found = store.find(key)
    const standing = found && store.complete(found, nowMs)
    expect([before, after]).toContainEqual(standing)
    expect(store.find(key)).toEqual(standing)
  },
  replace: (store, { after }) => {
    expect(store.replace(after, nowMs)).toBeUndefined()
    expect(store.find(key)).toEqual(after)
  },
  sweep: (store, { before, after }) => {
    store.removeLeftOvers(nowMs)
    expect([before, after]).toContainEqual(store.find(key))
    expect(store.removeLeftOvers(nowMs)).toEqual([])
  },
  boot: (store, { before, after }) => {
    store.recover()
    expect([before, after]).toContainEqual(store.find(key))
  },
  DEL: (store) => {
    expect(store.remove(key, nowMs)).toBe(true)
    expect(store.find(key)).toBeUndefined()
  },
  forget: (store) => {
    expect(store.forget(key, nowMs)).toBe(true)
    expect([store.find(key), all.filter((one) => store.isHeld('default', ip(one)))]).toEqual([undefined, []])
  },
}

function checkAfterwards(dataDir: string, scene: Scene, what: string): void {
  expect(new FileStore(dataDir).inspect().filter(({ kind }) => !['left over', 'incomplete'].includes(kind))).toEqual([])
  for (const [name, follow] of Object.entries(followers)) {
    const copy = newDataDir()
    copyDirectory(dataDir, copy)
    const store = new FileStore(copy)
    store.locked(() => follow(store, scene))
    // A name on its way holds nothing, and the next one on its way replaces it.
    const wrong = store.inspect().filter((finding) => finding.name !== '.passing')
    expect(wrong, `${what}, then ${name}`).toEqual([])
    const record = store.find(key) ?? store.list().kept[0]?.record
    expect(heldIn(copy), `${what}, then ${name}`).toEqual(
      all.filter((one) => record && addressesOf(record).includes(one)),
    )
    expect(store.holder('default', ip('10.0.0.9'))).toEqual(bystander)
    expect(readdirSync(`${copy}/leases`).filter((one) => one.startsWith('.new'))).toEqual([])
  }
}

describe.each(shapes)('FileStore.replace() by a record with %s addresses', (_, before, after) => {
  it.each<Fault>(['SIGKILL', 'EIO', 'ENOSPC', 'EROFS'])(
    'holds what both have when a %s meets any of its calls',
    (fault) => {
      const scene = sceneOf(before, after)
      let calls = Number.POSITIVE_INFINITY
      for (let failing = 0; failing <= calls; failing++) {
        const dataDir = newDataDir()
        copyDirectory(scene.template, dataDir)
        const store = new FileStore(dataDir)
        const held = (): void => expect(heldIn(dataDir)).toEqual(expect.arrayContaining([...scene.both]))
        const count = store.locked(() =>
          withFault(() => void store.replace(after, nowMs), failing, failing === calls ? undefined : fault, held),
        )
        if (calls === Number.POSITIVE_INFINITY) {
          const whole = newDataDir()
          copyDirectory(scene.template, whole)
          const other = new FileStore(whole)
          calls = other.locked(() => withFault(() => void other.replace(after, nowMs), 0, undefined))
          expect(calls).toBeGreaterThan(5)
        }
        held()
        if (failing === calls) expect(store.find(key)).toEqual(after)
        checkAfterwards(dataDir, scene, `${fault} at call ${failing} of ${calls}, after ${count}`)
      }
    },
  )
})

describe('FileStore after a replacement that was cut short', () => {
  let leases = ''
  /** As a kill between the last address and the attachment's own name leaves it. */
  function cutShort(before: AttachmentRecord, after: AttachmentRecord): FileStore {
    const { template } = sceneOf(before, after)
    leases = `${template}/leases`
    const store = new FileStore(template)
    Object.assign(fs, {
      renameSync: (from: string, to: string): void => {
        if (to.endsWith('/storage,a,net1')) throw new Killed()
        originals.get('renameSync')?.(...([from, to] as never[]))
      },
    })
    syncBuiltinESMExports()
    expect(() => store.locked(() => store.replace(after, nowMs))).toThrow(Killed)
    mend()
    rmSync(`${leases}/.passing`)
    return store
  }

  const [, before, after] = shapes[2] ?? []
  if (before === undefined || after === undefined) throw new TypeError('there are three')

  it('remove() needs no room on the disk', () => {
    const store = cutShort(before, after)
    const full = (): never => {
      throw Object.assign(new Error('the disk is full'), { code: 'ENOSPC' })
    }
    Object.assign(fs, { linkSync: full, renameSync: full, writeSync: full })
    syncBuiltinESMExports()
    expect(store.locked(() => store.remove(key, nowMs))).toBe(true)
    mend()
    expect([store.inspect(), store.list().records, store.list().kept]).toEqual([[], [bystander], []])
  })

  it('remove() keeps the addresses of the record that was to be for its pod', () => {
    const store = cutShort(before, after)
    expect(store.locked(() => store.remove(key, nowMs))).toBe(true)
    expect(store.list().kept).toEqual([{ record: after, sinceMs: nowMs }])
    expect(store.inspect()).toEqual([])
  })

  it('inspect() says where the addresses are', () => {
    const found = cutShort(before, after)
      .inspect()
      .map(({ name, what }) => `${name}: ${what}`)
    expect(found).toEqual([
      '.new,storage,a,net1: a killed call left it; a sweep, or the next call of its attachment, completes it or releases what it holds',
      'storage,a,net1: its record names "10.0.0.1", and nobody holds it',
      'storage,a,net1: its record names "10.0.0.3", and the record in its place that a killed call left holds it',
    ])
  })

  it('removeLeftOvers() leaves both files alone while the record is damaged, and remove() releases both', () => {
    const store = cutShort(before, after)
    writeFileSync(`${leases}/storage,a,net1`, 'x')
    expect(store.locked(() => store.removeLeftOvers(nowMs))).toEqual([])
    expect(['10.0.0.2', '10.0.0.3'].map((one) => store.isHeld('default', ip(one)))).toEqual([true, true])
    expect(store.locked(() => store.remove(key, nowMs))).toBe(true)
    expect([store.inspect(), store.list().records]).toEqual([[], [bystander]])
  })
})
