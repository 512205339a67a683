import { writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { recordOf } from '../contract/records.ts'
import { berth, contentOf, dataDir, here, ours, ownNetns, put, store } from './berth.ts'

const pod = { namespace: 'shop', name: 'web-0' }
/** A record whose namespace is gone: no namespace has this inode. */
const gone = { netns: { path: '/run/netns/gone-for-ever', dev: 4, ino: 1 } }

describe('berth leases list', () => {
  it('shows what is held by its address, what is kept and for whom, and what is damaged', async () => {
    put(ours('ctr-9', ['10.0.0.9/24'], { pod }), ours('ctr-10', ['10.0.0.10/24', 'fd00::10/64'], { space: 'blue' }))
    put(ours('layer-2', []), ours('old', ['10.0.0.11/24'], { pod, keepMs: 60_000 }))
    const offence = { pod: { namespace: 'conflict', name: '02:00:00:00:00:01 10.0.0.12' }, keepMs: 3_600_000 }
    put(ours('conflict-x', ['10.0.0.12/24'], offence))
    const nowMs = Date.parse('2026-11-20T10:00:00.000Z')
    store.locked(() => {
      for (const containerId of ['old', 'conflict-x'])
        store.remove({ network: 'storage', containerId, ifName: 'net1' }, nowMs)
    })
    writeFileSync(`${dataDir}/leases/storage,bad,net1`, 'x')
    expect(await berth(['leases', 'list'])).toEqual({ exitCode: 0, stderr: '', stdout: expect.any(String) })
    expect((await berth(['leases', 'list'])).stdout.split('\n').map((line) => line.replace(/ {2,}/g, ' | '))).toEqual([
      'ADDRESS | NETWORK | CONTAINER | INTERFACE | POD | SINCE | STATE',
      '- | storage | layer-2 | net1 | - | 2026-01-02T03:04:05.678Z | held',
      '10.0.0.9/24 | storage | ctr-9 | net1 | shop/web-0 | 2026-01-02T03:04:05.678Z | held',
      '10.0.0.10/24@blue | storage | ctr-10 | net1 | - | 2026-01-02T03:04:05.678Z | held',
      'fd00::10/64@blue | storage | ctr-10 | net1 | - | 2026-01-02T03:04:05.678Z | held',
      '10.0.0.11/24 | storage | old | net1 | shop/web-0 | 2026-11-20T10:00:00.000Z | kept for shop/web-0 until 2026-11-20T10:01:00.000Z',
      '10.0.0.12/24 | storage | - | - | - | 2026-11-20T10:00:00.000Z | in use by 02:00:00:00:00:01 on the wire until 2026-11-20T11:00:00.000Z',
      `damaged: ${dataDir}/leases/storage,bad,net1`,
      '',
    ])
    const json = JSON.parse((await berth(['leases', 'list', '--json'])).stdout)
    expect(json.attachments).toHaveLength(3)
    expect(json.kept).toHaveLength(2)
    expect(json.kept).toContainEqual({
      since: '2026-11-20T10:00:00.000Z',
      until: '2026-11-20T11:00:00.000Z',
      inUseBy: '02:00:00:00:00:01',
      attachment: expect.objectContaining({ leases: [{ address: '10.0.0.12/24', range: '10.0.0.12/24' }] }),
    })
    expect(json.damaged).toEqual(['storage,bad,net1'])
  })

  it('shows one network only when it is named, and says so when there is nothing', async () => {
    put(ours('a', ['10.0.0.1/24']), ours('b', ['10.0.0.2/24'], { network: 'other' }))
    expect((await berth(['leases', 'list', '--network', 'other'])).stdout).toMatch(
      /^ADDRESS.*\n10\.0\.0\.2\/24 [^\n]*\n$/,
    )
    expect((await berth(['leases', 'list', '--network', 'third'])).stdout).toBe('no leases\n')
  })

  it('lets no value forge a row or reach the terminal, as a table and as JSON', async () => {
    const hostile = { namespace: 'a\n10.0.0.1/24', name: '\u001b[2Jx\u009b\u202e' }
    put(ours('a', ['10.0.0.1/24'], { pod: hostile }))
    const { stdout } = await berth(['leases', 'list'])
    expect(stdout.split('\n')).toHaveLength(3)
    expect(stdout).toContain('a?10.0.0.1/24/?[2Jx??')
    const json = (await berth(['leases', 'list', '--json'])).stdout
    expect(json).toMatch(/^[\n\x20-\x7e]*$/)
    expect(JSON.parse(json).attachments[0].pod).toEqual(hostile)
  })
})

describe('berth leases show', () => {
  it('shows the whole record when an address, an attachment or a pod is named', async () => {
    const link = { index: 7, mac: '02:00:00:00:00:07' }
    put(ours('ctr-1', ['10.0.0.1/24'], { pod: { ...pod, uid: 'u-1' }, link, netns: ownNetns() }))
    for (const target of ['10.0.0.1', '10.0.0.1/24', '10.0.0.1@default', 'storage/ctr-1/net1', 'shop/web-0']) {
      const { stdout, exitCode } = await berth(['leases', 'show', target])
      expect(exitCode).toBe(0)
      expect(stdout).toMatch(/^attachment {2}storage\/ctr-1\/net1\nstate {7}held\naddress {5}10\.0\.0\.1\/24 of range/)
      expect(stdout).toContain('pod         shop/web-0 (uid u-1)\nlink        index 7, MAC 02:00:00:00:00:07\n')
      expect(stdout).toContain('namespace   alive: it is at "/proc/self/ns/net"\n')
      expect(stdout).toContain(`file        ${dataDir}/leases/storage,ctr-1,net1\n`)
    }
    const [shown] = JSON.parse((await berth(['leases', 'show', '10.0.0.1', '--json'])).stdout)
    expect(shown).toMatchObject({ state: 'held', namespace: { state: 'alive' }, attachment: { containerId: 'ctr-1' } })
  })

  it('says why the namespace is gone, or unknown', async () => {
    put(
      ours('a', ['10.0.0.1/24'], gone),
      recordOf({ network: 'storage', containerId: 'b', ifName: 'net1' }, ['10.0.0.2/24']),
    )
    expect((await berth(['leases', 'show', '10.0.0.1'])).stdout).toContain(
      'gone: it is gone from "/run/netns/gone-for-ever"',
    )
    expect((await berth(['leases', 'show', '10.0.0.2'])).stdout).toContain('gone: the node was started again since')
  })

  it('shows all holders when an address is held in several spaces', async () => {
    put(ours('a', ['10.0.0.1/24']), ours('b', ['10.0.0.1/24'], { space: 'blue' }))
    expect((await berth(['leases', 'show', '10.0.0.1'])).stdout.match(/^attachment/gm)).toHaveLength(2)
    expect((await berth(['leases', 'show', '10.0.0.1@blue'])).stdout).toMatch(/^attachment {2}storage\/b\/net1/)
  })

  it('fails when nobody holds it', async () => {
    const answer = await berth(['leases', 'show', '10.0.0.1'])
    expect(answer).toMatchObject({
      exitCode: 1,
      stdout: '',
      stderr: expect.stringMatching(/^berth: Cannot find "10\.0\.0\.1": nobody/),
    })
  })
})

describe('berth leases release', () => {
  it('releases when the namespace is gone, by address and by attachment', async () => {
    put(ours('a', ['10.0.0.1/24', 'fd00::1/64'], { ...gone, pod }), ours('b', ['10.0.0.2/24'], gone))
    expect(await berth(['leases', 'release', '10.0.0.1'])).toEqual({
      stdout: 'released 10.0.0.1/24, fd00::1/64 of storage/a/net1 (pod shop/web-0)\n',
      stderr: '',
      exitCode: 0,
    })
    expect((await berth(['leases', 'release', 'storage/b/net1'])).exitCode).toBe(0)
    expect(store.list()).toEqual({ records: [], kept: [], damaged: [] })
    expect(store.inspect()).toEqual([])
    expect((await berth(['leases', 'release', '10.0.0.1'])).exitCode).toBe(1)
  })

  it('refuses while the namespace is alive, names the pod, and obeys --force', async () => {
    put(ours('a', ['10.0.0.1/24'], { netns: ownNetns(), pod }))
    const refused = await berth(['leases', 'release', '10.0.0.1'])
    expect(refused).toMatchObject({ exitCode: 1, stdout: '' })
    expect(refused.stderr).toMatch(
      /^berth: Cannot release "10\.0\.0\.1\/24" of "a\/net1" .* of pod "shop\/web-0": .*alive/,
    )
    expect(store.list().records).toHaveLength(1)
    expect((await berth(['leases', 'release', '10.0.0.1', '--force'])).exitCode).toBe(0)
    expect(store.list().records).toEqual([])
  })

  it('keeps nothing for the pod, and releases what is kept', async () => {
    put(
      ours('a', ['10.0.0.1/24'], { ...gone, pod, keepMs: 60_000 }),
      ours('b', ['10.0.0.2/24'], { pod: { ...pod, name: 'web-1' }, keepMs: 60_000 }),
    )
    store.locked(() => store.remove({ network: 'storage', containerId: 'b', ifName: 'net1' }, Date.now()))
    expect((await berth(['leases', 'release', '10.0.0.1'])).exitCode).toBe(0)
    expect((await berth(['leases', 'release', '10.0.0.2'])).stdout).toBe(
      'released 10.0.0.2/24 kept after storage/b/net1 (pod shop/web-1)\n',
    )
    expect(contentOf(`${dataDir}/leases`)).toEqual({})
  })

  it('refuses an address that is held in several spaces, and takes one with its space', async () => {
    put(ours('a', ['10.0.0.1/24'], gone), ours('b', ['10.0.0.1/24'], { ...gone, space: 'blue' }))
    expect((await berth(['leases', 'release', '10.0.0.1'])).stderr).toContain(
      'it means several: 10.0.0.1/24, 10.0.0.1/24@blue',
    )
    expect((await berth(['leases', 'release', '10.0.0.1@blue'])).exitCode).toBe(0)
    expect(store.list().records.map(({ containerId }) => containerId)).toEqual(['a'])
  })
})

describe('berth leases sweep', () => {
  it('releases what an earlier boot left, lets the rest wait, and then releases that', async () => {
    put(
      ours('a', ['10.0.0.1/24'], gone),
      { ...ours('b', ['10.0.0.2/24']), bootId: 'earlier' },
      ours('c', ['10.0.0.3/24'], { netns: ownNetns() }),
    )
    const before = contentOf(dataDir)
    const dry = await berth(['leases', 'sweep', '--grace', '0', '--dry-run'])
    expect(dry.stdout).toMatch(
      /^WHAT .*\nreleased +10\.0\.0\.2\/24 .*\nwaiting +10\.0\.0\.1\/24 .*\nnothing was changed/,
    )
    expect(contentOf(dataDir)).toEqual(before)
    expect(
      JSON.parse((await berth(['leases', 'sweep', '--grace', '0', '--dry-run', '--json', '--totals'])).stdout),
    ).toEqual({
      released: 1,
      waiting: 1,
      expired: 0,
      leftOver: 0,
      damaged: 0,
      vfs: { restored: 0, waiting: 0, failed: 0, damaged: 0 },
      vlans: 0,
    })
    expect(JSON.parse((await berth(['leases', 'sweep', '--grace', '0', '--json'])).stdout)).toMatchObject({
      released: [{ containerId: 'b' }],
      waiting: [{ containerId: 'a' }],
      dryRun: false,
    })
    expect((await berth(['leases', 'sweep', '--grace', '0'])).stdout).toMatch(
      /^WHAT .*\nreleased +10\.0\.0\.1\/24 [^\n]*\n$/,
    )
    expect((await berth(['leases', 'sweep', '--grace', '0'])).stdout).toBe('nothing to sweep\n')
    expect(store.list().records.map(({ containerId }) => containerId)).toEqual(['c'])
  })

  it('never touches what is imported', async () => {
    put(
      { ...ours('a', ['10.0.0.1/24']), imported: 'host-local' },
      { ...ours('b', ['10.0.0.2/24']), imported: 'host-local', bootId: 'earlier' },
    )
    for (let time = 0; time < 2; time++)
      expect((await berth(['leases', 'sweep', '--grace', '0'])).stdout).toBe('nothing to sweep\n')
    expect(here().bootId).not.toBe('earlier')
    expect(store.list().records).toHaveLength(2)
  })
})
