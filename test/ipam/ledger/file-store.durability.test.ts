/**
 * What must be on disk before what: a kill -9 cannot tell, because the kernel keeps what was written; a power cut can. So
 * the order of the system calls themselves is held against ipam/FORMAT.md.
 */
import fs, { mkdtempSync, rmSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { FileStore } from '../../../ipam/ledger/file-store.ts'
import { keyOf, recordOf } from '../../contract/records.ts'

const watched = [
  'openSync',
  'writeSync',
  'writeFileSync',
  'fdatasyncSync',
  'fsyncSync',
  'linkSync',
  'renameSync',
  'unlinkSync',
] as const
const originals = new Map<string, (...args: never[]) => unknown>(watched.map((name) => [name, fs[name]]))
const { fdatasync } = fs
const paths = new Map<unknown, string>()
let calls: string[] = []
let dataDir = ''

/** Notes the calls by the names of the files they are about, and makes them. */
function watch(): void {
  for (const [name, original] of originals) {
    const watching = (...args: never[]): unknown => {
      const result = original(...args)
      const file = basename(paths.get(args[0]) ?? String(args[0]))
      if (name === 'openSync') paths.set(result, String(args[0]))
      else
        calls.push(
          [
            name.replace('Sync', ''),
            file,
            ...(name === 'linkSync' || name === 'renameSync' ? [basename(String(args[1]))] : []),
          ].join(' '),
        )
      return result
    }
    Object.assign(fs, { [name]: watching })
  }
  syncBuiltinESMExports()
}

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'berth-durability-'))
})

afterEach(() => {
  vi.restoreAllMocks()
  Object.assign(fs, Object.fromEntries(originals), { fdatasync })
  syncBuiltinESMExports()
  rmSync(dataDir, { recursive: true, force: true })
})

it('put() has its records in the synced journal before their first names, and syncs nothing else', () => {
  const store = new FileStore(dataDir)
  store.locked(() => undefined)
  watch()
  calls = []
  store.put([recordOf(keyOf('a'), ['10.0.0.1/24'])])
  const own = 'storage,a,net1'
  const name = (key: string, address: string): string[] => [
    `writeFile .new,${key}`,
    `link .new,${key} ${key}`,
    `link .new,${key} ${address}`,
  ]
  // The first one makes the journal: its size and its name are synced before it is written to.
  const made = ['write journal', 'fsync journal', `fsync ${basename(dataDir)}`]
  const written = ['write journal', 'write journal', 'fdatasync journal']
  expect(calls).toEqual([...made, ...written, ...name(own, '10.0.0.1'), `unlink .new,${own}`])
  calls = []
  store.put([recordOf(keyOf('b'), ['10.0.0.2/24']), recordOf(keyOf('c'), ['10.0.0.3/24'])])
  expect(calls.slice(0, 3)).toEqual(written)
  expect(calls.filter((call) => call.includes('sync'))).toEqual(['fdatasync journal'])
  calls = []
  store.remove(keyOf('a'), 0)
  expect(calls.filter((call) => !call.includes('.new') && !call.startsWith('write'))).toEqual([
    'unlink 10.0.0.1',
    `rename ${own} spare,0`,
  ])
})

it('put() of a store that defers syncs nothing, and flush() syncs for all who were put meanwhile', async () => {
  const store = new FileStore(dataDir, { deferred: true })
  store.locked(() => store.put([recordOf(keyOf('a'), ['10.0.0.1/24'])]))
  await store.flush()
  watch()
  calls = []
  const synced: string[] = []
  const original = fs.fdatasync
  Object.assign(fs, {
    fdatasync: (fd: number, done: (error: Error | null) => void) => {
      synced.push(...calls.filter((call) => call.startsWith('link')).map((call) => call.split(' ')[2] ?? ''))
      original(fd, done)
    },
  })
  syncBuiltinESMExports()
  const flushed: Promise<void>[] = []
  for (const id of [2, 3, 4]) {
    store.put([recordOf(keyOf(`c${id}`), [`10.0.0.${id}/24`])])
    flushed.push(store.flush())
  }
  expect(calls.filter((call) => call.includes('sync'))).toEqual([])
  await Promise.all(flushed)
  Object.assign(fs, { fdatasync: original })
  // One sync, after the last of them.
  expect(synced.filter((name) => name.startsWith('10.'))).toEqual(['10.0.0.2', '10.0.0.3', '10.0.0.4'])
})

/** Replaces the syncs of the journal by ones that take so long by the clock, or fail; notes who waited for each. */
function syncsThat(takeMs: () => number, broken?: Error): string[] {
  const waited: string[] = []
  let clockNs = 0n
  vi.spyOn(process.hrtime, 'bigint').mockImplementation(() => clockNs)
  const sync = (who: string): void => {
    waited.push(who)
    clockNs += BigInt(Math.round(takeMs() * 1e6))
  }
  Object.assign(fs, {
    fdatasync: (_fd: number, done: (error: Error | null) => void) => {
      sync('thread')
      setImmediate(done, broken ?? null)
    },
    fdatasyncSync: () => {
      sync('here')
      if (broken !== undefined) throw broken
    },
  })
  syncBuiltinESMExports()
  return waited
}

it('flush("here") waits by itself while syncs are quick, and in a thread after a slow one or beside one under way', async () => {
  using store = new FileStore(dataDir, { deferred: true })
  store.locked(() => store.put([recordOf(keyOf('a'), ['10.0.0.1/24'])]))
  let takesMs = 0.1
  const waited = syncsThat(() => takesMs)
  // Nobody knows yet how long the disk takes.
  await store.flush('here')
  await store.flush('here')
  expect(waited).toEqual(['thread', 'here'])
  // Of two syncs of one file at once only one hears of a failure.
  await Promise.all([store.flush(), store.flush('here')])
  expect(waited).toEqual(['thread', 'here', 'thread'])
  takesMs = 20
  await store.flush('here')
  expect(waited.splice(0)).toEqual(['thread', 'here', 'thread', 'here'])
  await store.flush('here')
  takesMs = 0.1
  await store.flush('here')
  await store.flush('here')
  expect(waited).toEqual(['thread', 'thread', 'here'])
})

it('flush("here") says that the disk is broken, and the next one that it works', async () => {
  using store = new FileStore(dataDir, { deferred: true })
  store.locked(() => store.put([recordOf(keyOf('a'), ['10.0.0.1/24'])]))
  syncsThat(() => 0.1)
  await store.flush()
  syncsThat(() => 0.1, Object.assign(new Error('the disk is broken'), { code: 'EIO' }))
  await expect(store.flush('here')).rejects.toThrow(`Cannot use the lease directory "${dataDir}/leases"`)
  syncsThat(() => 0.1)
  await expect(store.flush('here')).resolves.toBeUndefined()
})

it('flush() says that the disk is broken to all who were put before, and to nobody else', async () => {
  const store = new FileStore(dataDir, { deferred: true })
  store.locked(() => store.put([recordOf(keyOf('a'), ['10.0.0.1/24'])]))
  const original = fs.fdatasync
  const broken = Object.assign(new Error('the disk is broken'), { code: 'EIO' })
  Object.assign(fs, { fdatasync: (_fd: number, done: (error: Error) => void) => setImmediate(done, broken) })
  syncBuiltinESMExports()
  const failed = [store.flush(), store.flush()]
  for (const one of failed) await expect(one).rejects.toThrow(`Cannot use the lease directory "${dataDir}/leases"`)
  Object.assign(fs, { fdatasync: original })
  syncBuiltinESMExports()
  await expect(store.flush()).resolves.toBeUndefined()
})

it('remove() syncs the release of an imported record, which nothing else would release again', () => {
  const store = new FileStore(dataDir)
  const imported = { ...recordOf(keyOf('a'), ['10.0.0.1/24']), imported: 'host-local' }
  store.locked(() => store.put([imported, recordOf(keyOf('b'), ['10.0.0.2/24'])]))
  watch()
  calls = []
  store.remove(keyOf('b'), 0)
  expect(calls.filter((call) => call.includes('sync'))).toEqual([])
  calls = []
  store.remove(keyOf('a'), 0)
  expect(calls).toEqual([
    'unlink 10.0.0.1',
    'rename storage,a,net1 spare,1',
    'write journal',
    'write journal',
    'fdatasync journal',
  ])
})

it('replace() has its record in the synced journal before an address passes over, and its own name passes last', () => {
  const store = new FileStore(dataDir)
  const own = 'storage,a,net1'
  store.locked(() => store.put([recordOf(keyOf('a'), ['10.0.0.1/24', '10.0.0.2/24'])]))
  watch()
  calls = []
  store.replace(recordOf(keyOf('a'), ['10.0.0.2/24', '10.0.0.3/24']), 0)
  expect(calls.filter((call) => call !== 'unlink .passing')).toEqual([
    `writeFile .new,${own}`,
    `link .new,${own} 10.0.0.3`,
    ...['write journal', 'write journal', 'fdatasync journal'],
    ...[`link .new,${own} .passing`, 'rename .passing 10.0.0.2'],
    'unlink 10.0.0.1',
    ...[`link .new,${own} .passing`, `rename .passing ${own}`],
    `unlink .new,${own}`,
  ])
})

it('what is kept never has its address free: the name is replaced at one instant, and the old record removed after it', () => {
  const wish = { keepMs: 1000, pod: { namespace: 'ns', name: 'pod' } }
  const store = new FileStore(dataDir)
  store.locked(() => undefined)
  store.put([recordOf(keyOf('a'), ['10.0.0.1/24'], wish)])
  watch()
  calls = []
  store.remove(keyOf('a'), 0)
  expect(calls.filter((call) => !call.includes('.new') && !call.startsWith('write'))).toEqual([
    'rename storage,a,net1 ~storage,ns,pod,net1',
  ])
  calls = []
  store.put([recordOf(keyOf('b'), ['10.0.0.1/24'], wish)])
  const named = calls.slice(calls.indexOf('link .new,storage,b,net1 storage,b,net1') + 1)
  expect(named.filter((call) => call !== 'unlink .passing' && !call.includes('journal'))).toEqual([
    // The exclusive link finds the name taken.
    'link .new,storage,b,net1 .passing',
    'rename .passing 10.0.0.1',
    'rename ~storage,ns,pod,net1 spare,0',
    'unlink .new,storage,b,net1',
  ])
})

it.each<['linkSync' | 'fsyncSync' | 'fdatasyncSync', number]>([
  ...[0, 1, 2, 3, 4, 5].map((index): ['linkSync', number] => ['linkSync', index]),
  ['fdatasyncSync', 0],
])('a put of three leaves none of its names, and all others, when %s %i of it fails', (name, failing) => {
  const store = new FileStore(dataDir)
  const before = recordOf(keyOf('before'), ['10.0.0.9/24'])
  store.locked(() => store.put([before]))
  let index = 0
  const original = originals.get(name)
  Object.assign(fs, {
    [name]: (...args: never[]): unknown => {
      if (index++ === failing) throw Object.assign(new Error('the disk is broken'), { code: 'EIO' })
      return original?.(...args)
    },
  })
  syncBuiltinESMExports()
  const records = [1, 2, 3].map((host) => recordOf(keyOf(`c${host}`), [`10.0.0.${host}/24`]))
  expect(() => store.put(records)).toThrow('the disk is broken')
  expect(fs.readdirSync(join(dataDir, 'leases')).sort()).toEqual(['10.0.0.9', 'storage,before,net1'])
  expect(store.put(records)).toEqual([undefined, undefined, undefined])
})

it('a directory is made durable in its parent', () => {
  watch()
  calls = []
  new FileStore(join(dataDir, 'deep')).locked(() => undefined)
  expect(calls).toEqual([`fsync ${basename(dataDir)}`, 'fsync deep'])
})
