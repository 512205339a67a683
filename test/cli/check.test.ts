import { linkSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { berth, contentOf, dataDir, ours, put, store } from './berth.ts'

describe('berth leases check', () => {
  it('counts when nothing is wrong, in a store that nobody used yet as well', async () => {
    expect(await berth(['leases', 'check'])).toEqual({
      stdout: 'the store is consistent: 0 attachments, 0 addresses, 0 kept\n',
      stderr: '',
      exitCode: 0,
    })
    put(ours('a', ['10.0.0.1/24', 'fd00::1/64']), ours('b', ['10.0.0.2/24']))
    expect((await berth(['leases', 'check'])).stdout).toBe(
      'the store is consistent: 2 attachments, 3 addresses, 0 kept\n',
    )
  })

  it('names the file when a byte of it was changed, and release --force gives its address back', async () => {
    put(ours('a', ['10.0.0.1/24']))
    put(ours('b', ['10.0.0.2/24']))
    const path = `${dataDir}/leases/storage,a,net1`
    const bytes = readFileSync(path)
    bytes[40] = (bytes[40] ?? 0) ^ 1
    // In place: the address is a name of the same file.
    writeFileSync(path, bytes)
    const before = contentOf(dataDir)
    const { stdout, exitCode } = await berth(['leases', 'check'])
    expect(exitCode).toBe(1)
    expect(stdout).toMatch(/^NAME +KIND +WHAT\n10\.0\.0\.1 +damaged .*\nstorage,a,net1 +damaged .*\n$/)
    expect(JSON.parse((await berth(['leases', 'check', '--json'])).stdout)).toMatchObject({
      findings: [{ name: '10.0.0.1', kind: 'damaged' }, { name: 'storage,a,net1' }],
      attachments: 1,
    })
    expect(contentOf(dataDir)).toEqual(before)
    expect((await berth(['leases', 'show', '10.0.0.1'])).stderr).toContain('its record is damaged')
    const refused = await berth(['leases', 'release', 'storage/a/net1'])
    expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('--force releases it all the same') })
    expect((await berth(['leases', 'release', 'storage/a/net1', '--force'])).exitCode).toBe(0)
    expect((await berth(['leases', 'check'])).stdout).toBe('the store is consistent: 1 attachment, 1 address, 0 kept\n')
  })

  it('names a lost address, an orphan, a stranger and a left-over', async () => {
    put(ours('a', ['10.0.0.1/24']))
    put(ours('b', ['10.0.0.2/24']))
    const leases = `${dataDir}/leases`
    unlinkSync(`${leases}/10.0.0.1`)
    unlinkSync(`${leases}/storage,b,net1`)
    writeFileSync(`${leases}/readme`, 'what is this')
    linkSync(`${leases}/storage,a,net1`, `${leases}/.new,storage,a,net1`)
    const { findings } = JSON.parse((await berth(['leases', 'check', '--json'])).stdout)
    expect(findings.map(({ name, kind }: { name: string; kind: string }) => [name, kind])).toEqual([
      ['.new,storage,a,net1', 'left over'],
      ['10.0.0.2', 'orphan'],
      ['readme', 'stranger'],
      ['storage,a,net1', 'incomplete'],
    ])
    expect((await berth(['leases', 'release', '10.0.0.2'])).stderr).toContain('has lost its own name')
    expect((await berth(['leases', 'sweep', '--dry-run', '--grace', '9999'])).stdout).toContain(
      'left over  .new,storage,a,net1',
    )
    expect(store.inspect()).toHaveLength(4)
  })
})
