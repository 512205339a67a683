/** The store where hosts share its directory: what it does when its lock goes to another host in the middle of the work. */
import { readdirSync, readFileSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { takeOver } from '../../../ipam/import/take-over.ts'
import { FileStore } from '../../../ipam/ledger/file-store.ts'
import { LeaseFiles } from '../../../ipam/ledger/lease-files.ts'
import { inUse, sweepEarlierBoots } from '../../../ipam/sweep.ts'
import { keyOf, recordOf } from '../../contract/records.ts'
import { ip } from '../../shared/addresses.ts'
import { failureOf } from '../../shared/failures.ts'
import { temporaryDirectory } from '../../shared/temporary.ts'
import { steal } from '../lock/hosts.ts'

vi.mock(import('../../../ipam/lock/kind.ts'), async (original) => ({
  ...(await original()),
  lockKindOf: () => 'shared',
}))

const nowMs = 1_700_000_000_000
const node = { host: 'node-1', bootId: 'boot-2' }
const a = recordOf(keyOf('a'), ['10.0.0.1/24'], { host: node.host, bootId: 'boot-1' })
const b = recordOf(keyOf('b'), ['10.0.0.2/24'], { host: node.host, bootId: 'boot-1' })
const c = recordOf(keyOf('c'), ['10.0.0.3/24'], { keepMs: 1, pod: { namespace: 'ns', name: 'pod' } })
const d = recordOf(keyOf('d'), ['10.0.0.4/24'])
const e = recordOf(keyOf('e'), ['10.0.0.5/24'], { keepMs: 60_000, pod: { namespace: 'ns', name: 'other' } })

let dataDir: string
let store: FileStore
beforeEach(() => {
  dataDir = temporaryDirectory()
  store = new FileStore(dataDir)
  store.locked(() => {
    store.put([a, c, e])
    store.remove(keyOf('c'), nowMs)
  })
  vi.useFakeTimers({ toFake: ['hrtime'] })
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const names = (): string[] => readdirSync(join(dataDir, 'leases')).sort()

/** The lock goes to another host, who keeps it, a while before anybody looks. */
function loseLock(): void {
  steal(join(dataDir, 'lock'))
  vi.advanceTimersByTime(1000)
}

describe('FileStore on a share whose lock has gone to another host', () => {
  it.each<[string, () => unknown]>([
    ['put', () => store.put([b])],
    ['complete', () => store.complete(a, nowMs)],
    ['remove', () => store.remove(keyOf('a'), nowMs)],
    ['keep', () => store.remove(keyOf('e'), nowMs)],
    ['forget', () => store.forget(keyOf('a'), nowMs)],
    ['drop what is kept', () => store.dropKept(c, nowMs)],
    ['keep from now on', () => store.restartKept(c, nowMs)],
    ['list', () => store.list()],
    ['inspect', () => store.inspect()],
    ['remove what was left over', () => store.removeLeftOvers(nowMs)],
  ])('does not %s any more', (_, work) => {
    const before = names()
    const failure = failureOf(() => store.locked(() => [loseLock(), work()]))
    expect([failure.errorName, failure.message]).toEqual([
      'ERR_TRY_AGAIN',
      `Cannot keep the lock "${dataDir}/lock": it went to another host`,
    ])
    expect(names()).toEqual(before)
    expect(readFileSync(join(dataDir, 'lock'), 'utf8')).toContain('"host":"another"')
  })

  it('ends in the middle of what it reads', () => {
    const { record } = LeaseFiles.prototype
    const read = vi.spyOn(LeaseFiles.prototype, 'record').mockImplementation(function (this: LeaseFiles, key) {
      loseLock()
      return record.call(this, key)
    })
    const failure = failureOf(() => store.locked(() => store.list()))
    expect([failure.errorName, read.mock.calls.length]).toEqual(['ERR_TRY_AGAIN', 1])
  })

  it('takes back what it has put when the lock goes in the middle', () => {
    const before = names()
    const { name } = LeaseFiles.prototype
    const calls: string[] = []
    vi.spyOn(LeaseFiles.prototype, 'name').mockImplementation(function (this: LeaseFiles, file, record) {
      calls.push(file)
      if (calls.length === 2) loseLock()
      return name.call(this, file, record)
    })
    const failure = failureOf(() => store.locked(() => store.put([b, d])))
    expect([failure.errorName, calls.length, names()]).toEqual(['ERR_TRY_AGAIN', 2, before])
  })
})

describe('sweepEarlierBoots() on a share whose lock has gone to another host', () => {
  it('leaves it to the next claim to sweep again', () => {
    const [list, namesBefore] = [store.list(), names()]
    vi.spyOn(store, 'list').mockImplementation(() => {
      loseLock()
      return list
    })
    const failure = failureOf(() => store.locked(() => sweepEarlierBoots(store, node, nowMs)))
    expect(failure.errorName).toBe('ERR_TRY_AGAIN')
    expect([store.lastBoot(node.host), names()]).toEqual([undefined, namesBefore])
  })
})

describe('inUse() on a share whose lock has gone to another host', () => {
  it('looks for no more namespaces', () => {
    const record = { ...a, netns: { path: '/run/netns/absent', dev: 1, ino: 2 } }
    const failure = failureOf(() => store.locked(() => [loseLock(), inUse()(record)]))
    expect(failure.errorName).toBe('ERR_TRY_AGAIN')
  })
})

describe('takeOver() on a share whose lock has gone to another host', () => {
  it('ends instead of passing the attachment over', () => {
    store.setLastBoot(node.host, node.bootId)
    store.locked(() => store.put([{ ...b, imported: 'host-local' }]))
    unlinkSync(join(dataDir, 'leases/10.0.0.2'))
    vi.spyOn(store, 'find').mockImplementationOnce((key) => {
      loseLock()
      return FileStore.prototype.find.call(store, key)
    })
    const found = [{ at: 'a file', key: keyOf('b'), ip: ip('10.0.0.2') }]
    const wish = {
      from: 'host-local',
      space: 'default',
      subnets: [],
      node,
      now: new Date(nowMs),
      dryRun: false,
    } as const
    const failure = failureOf(() => takeOver(store, found, { ...wish, onProgress: () => undefined }))
    expect(failure.errorName).toBe('ERR_TRY_AGAIN')
  })
})
