/**
 * What must be on disk before what: a kill -9 cannot tell, because the kernel keeps what was written; a power cut can. So
 * the order of the system calls themselves is held against ipam/FORMAT.md.
 */
import fs, { mkdtempSync, rmSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { FileStore } from '../../ipam/file-store.ts'
import { keyOf, recordOf } from '../contract/records.ts'

const watched = ['openSync', 'writeFileSync', 'fdatasyncSync', 'fsyncSync', 'linkSync', 'unlinkSync'] as const
const originals = new Map<string, (...args: never[]) => unknown>(watched.map((name) => [name, fs[name]]))
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
          [name.replace('Sync', ''), file, ...(name === 'linkSync' ? [basename(String(args[1]))] : [])].join(' '),
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
  Object.assign(fs, Object.fromEntries(originals))
  syncBuiltinESMExports()
  rmSync(dataDir, { recursive: true, force: true })
})

it('a claim is on disk before its first name, and its names before the answer; a release likewise', () => {
  const store = new FileStore(dataDir)
  store.locked(() => undefined)
  watch()
  calls = []
  store.put(recordOf(keyOf('a'), ['10.0.0.1/24']))
  const own = 'storage,a,net1'
  const start = [
    `writeFile .new,${own}`,
    `fdatasync .new,${own}`,
    `link .new,${own} ${own}`,
    `link .new,${own} 10.0.0.1`,
  ]
  expect(calls).toEqual([...start, 'fsync leases', `unlink .new,${own}`])
  calls = []
  store.remove(keyOf('a'))
  expect(calls.filter((call) => !call.includes('.new'))).toEqual(['unlink 10.0.0.1', `unlink ${own}`, 'fsync leases'])
})

it('a directory is made durable in its parent', () => {
  watch()
  calls = []
  new FileStore(join(dataDir, 'deep')).locked(() => undefined)
  expect(calls).toEqual([`fsync ${basename(dataDir)}`, 'fsync deep'])
})
