import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { FileStore } from '../../../ipam/ledger/file-store.ts'
import { keyOf, recordOf } from '../../contract/records.ts'
import { failureOf } from '../../shared/failures.ts'
import { asOrdinaryUser } from '../../shared/ordinary.ts'
import { temporaryDirectory } from '../../shared/temporary.ts'

const record = recordOf(keyOf('ctr-1'), ['10.0.0.7/24'])

describe('FileStore with a pipe where a record should be', () => {
  it('calls it damaged, waits for nothing, and forgets it', () => {
    const dataDir = temporaryDirectory()
    const store = new FileStore(dataDir)
    store.locked(() => undefined)
    execFileSync('mkfifo', [`${dataDir}/leases/storage,ctr-1,net1`])
    expect(failureOf(() => store.find(keyOf('ctr-1'))).errorName).toBe('ERR_DAMAGED')
    expect(store.list()).toEqual({ records: [], kept: [], damaged: ['storage,ctr-1,net1'] })
    expect(store.locked(() => store.remove(keyOf('ctr-1'), 0))).toBe(true)
    expect(readdirSync(`${dataDir}/leases`)).toEqual([])
  })
})

describe('FileStore', () => {
  it('fails with code 5 and names the directory when a file is in its way', () => {
    const dataDir = temporaryDirectory()
    writeFileSync(`${dataDir}/file`, '')
    const store = new FileStore(`${dataDir}/file`)
    for (const call of [() => store.locked(() => 'never'), () => store.checkWritable()]) {
      const failure = failureOf(call)
      expect([failure.errorName, failure.code]).toEqual(['ERR_IO', 5])
      expect(failure.message).toContain(`"${dataDir}/file/leases"`)
      expect(failure.cause).toMatchObject({ code: expect.stringMatching(/^E[A-Z]+$/) })
    }
    expect(store.exists()).toBe(false)
  })

  it('fails with code 5 when it cannot list its directory', () => {
    const dataDir = temporaryDirectory()
    writeFileSync(`${dataDir}/leases`, '')
    const failure = failureOf(() => new FileStore(dataDir).list())
    expect([failure.errorName, failure.message]).toEqual(['ERR_IO', expect.stringContaining(`"${dataDir}/leases"`)])
  })

  it('fails with code 5 and follows nothing when the lock is a symlink', () => {
    const dataDir = temporaryDirectory()
    symlinkSync(`${dataDir}/elsewhere`, `${dataDir}/lock`)
    expect(failureOf(() => new FileStore(dataDir).locked(() => 'never')).errorName).toBe('ERR_IO')
    expect(readdirSync(dataDir).sort()).toEqual(['leases', 'lock'])
  })

  it('fails with code 5 when its directory disappears under it', () => {
    const dataDir = temporaryDirectory()
    const store = new FileStore(dataDir)
    const put = () =>
      store.locked(() => {
        rmSync(`${dataDir}/leases`, { recursive: true })
        store.put([record])
      })
    expect(failureOf(put)).toMatchObject({ errorName: 'ERR_IO', cause: { code: 'ENOENT' } })
  })

  it('fails with code 5 and keeps nothing when its directory may only be read', () => {
    const dataDir = temporaryDirectory()
    asOrdinaryUser(dataDir, () => {
      const store = new FileStore(dataDir)
      mkdirSync(`${dataDir}/leases`)
      chmodSync(`${dataDir}/leases`, 0o500)
      expect(failureOf(() => store.locked(() => store.put([record])))).toMatchObject({
        errorName: 'ERR_IO',
        message: expect.stringContaining(`"${dataDir}/leases"`),
        cause: { code: 'EACCES' },
      })
      expect(store.list()).toEqual({ records: [], kept: [], damaged: [] })
    })
  })

  it('fails with code 5 when it may not make its directory', () => {
    const dataDir = temporaryDirectory()
    asOrdinaryUser(dataDir, () => {
      chmodSync(dataDir, 0o500)
      expect(failureOf(() => new FileStore(dataDir).locked(() => 'never')).errorName).toBe('ERR_IO')
      expect(failureOf(() => new FileStore(dataDir).checkWritable()).errorName).toBe('ERR_IO')
    })
  })

  it('passes on what the work throws when that is none of its errors', () => {
    const failure = new TypeError('a defect')
    const work = () => {
      throw failure
    }
    expect(() => new FileStore(temporaryDirectory()).locked(work)).toThrow(failure)
  })
})
