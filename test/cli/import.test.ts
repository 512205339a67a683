import fs, { mkdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { beforeEach, describe, expect, it } from 'vitest'
import { temporaryDirectory } from '../shared/temporary.ts'
import { berth, contentOf, dataDir, ours, progress, put, store } from './berth.ts'

let folder: string
beforeEach(() => {
  folder = temporaryDirectory()
})

const lease = (address: string, content: string): void => writeFileSync(`${folder}/${address}`, content)
const importFolder = (...more: string[]) =>
  berth(['import', 'host-local', folder, '--network', 'storage', '--range', '10.0.0.0/24', ...more])
const held = (): string[] =>
  store
    .list()
    .records.flatMap(({ containerId, ifName, leases }) =>
      leases.map(({ address, space }) => `${address}@${space} ${containerId}/${ifName}`),
    )
    .sort()

describe('berth import host-local', () => {
  it('records what the folder says, an attachment once with all its addresses, and says what it assumed', async () => {
    lease('10.0.0.5', 'ctr-1\r\nnet1')
    lease('fd00::5', 'ctr-1\r\nnet1')
    lease('10.0.0.6', 'ctr-2')
    lease('lock', '')
    lease('last_reserved_ip.0', '10.0.0.6')
    const answer = await importFolder('--range', 'fd00::/64')
    expect(answer).toMatchObject({ exitCode: 0, stderr: '' })
    expect(answer.stdout).toContain(
      'imported 2 attachments with 3 addresses into the space "storage"; 0 were there already; 0 skipped\n',
    )
    expect(answer.stdout).toContain('1 entry without an interface: "eth0" is assumed\n')
    expect(held()).toEqual([
      '10.0.0.5/24@storage ctr-1/net1',
      '10.0.0.6/24@storage ctr-2/eth0',
      'fd00::5/64@storage ctr-1/net1',
    ])
    expect(store.list().records).toHaveLength(2)
    expect(store.inspect()).toEqual([])
    expect(progress.at(-1)).toBe('2 of 2 attachments')
  })

  it('changes nothing when it runs again, and nothing at all with --dry-run', async () => {
    lease('10.0.0.5', 'ctr-1\r\nnet1')
    expect((await importFolder('--dry-run')).stdout).toContain('would import 1 attachment with 1 address')
    expect(contentOf(dataDir)).toEqual({})
    await importFolder()

    const before = contentOf(dataDir)
    expect((await importFolder()).stdout).toContain(
      'imported 0 attachments with 0 addresses into the space "storage"; 1 were there already',
    )
    expect(contentOf(dataDir)).toEqual(before)
  })

  it('names what it skips, and imports the rest', async () => {
    put(ours('other', ['10.0.0.7/24'], { space: 'storage' }))
    lease('10.0.0.5', 'ctr-1\r\nnet1')
    lease('10.0.0.6', '')
    lease('10.0.0.7', 'ctr-3\r\nnet1')
    lease('10.9.0.8', 'ctr-4\r\nnet1')
    lease('10.0.0.9', 'a\r\nb\r\nc')
    lease('10.0.0.10', 'ctr,\r\nnet1')
    lease('10.0.0.11', 'ctr-5\r\nnet\u001b[2J/1')
    lease('readme', 'hello')
    mkdirSync(`${folder}/deeper`)
    const { exitCode, stderr } = await importFolder()
    expect(exitCode).toBe(1)
    expect(stderr.trim().split('\n').sort()).toEqual([
      'skipped 10.0.0.10: invalid characters in containerID: ctr,',
      'skipped 10.0.0.11: interface name contains / or : or whitespace characters: CNI_IFNAME is "net\\u001b[2J/1"',
      'skipped 10.0.0.6: it is empty: a killed host-local left it, and nobody can tell for whom',
      'skipped 10.0.0.7: held by "other/net1" of network "storage"',
      'skipped 10.0.0.9: it is not a container ID and an interface',
      'skipped 10.9.0.8: lies in none of the subnets given',
      'skipped deeper: its name is not an address',
      'skipped readme: its name is not an address',
    ])
    expect(held()).toEqual(['10.0.0.5/24@storage ctr-1/net1', '10.0.0.7/24@storage other/net1'])
  })

  it('adds what was skipped before when it is given the subnet', async () => {
    lease('10.0.0.5', 'ctr-1\r\nnet1')
    lease('fd00::5', 'ctr-1\r\nnet1')
    expect((await importFolder()).exitCode).toBe(1)
    expect((await importFolder('--range', 'fd00::/64')).exitCode).toBe(0)
    expect(held()).toEqual(['10.0.0.5/24@storage ctr-1/net1', 'fd00::5/64@storage ctr-1/net1'])
    expect(store.inspect()).toEqual([])
  })

  it('holds what was imported before at every instant when it adds more, whatever fails', async () => {
    lease('10.0.0.5', 'ctr-1\r\nnet1')
    await importFolder()

    lease('fd00::5', 'ctr-1\r\nnet1')
    lease('10.0.0.6', 'ctr-1\r\nnet1')
    const { linkSync } = fs
    const isHeld = (): boolean => fs.existsSync(`${dataDir}/leases/10.0.0.5@storage`)
    const seen: boolean[] = []
    for (let failing = 0; failing < 8; failing++) {
      let count = 0
      const broken = (from: string, to: string): void => {
        seen.push(isHeld())
        if (count++ === failing) throw Object.assign(new Error('the disk is broken'), { code: 'EIO' })
        linkSync(from, to)
      }
      Object.assign(fs, { linkSync: broken })
      syncBuiltinESMExports()
      await importFolder('--range', 'fd00::/64')

      Object.assign(fs, { linkSync })
      syncBuiltinESMExports()
      seen.push(isHeld())
    }
    expect(new Set(seen)).toEqual(new Set([true]))
    expect(held()).toEqual([
      '10.0.0.5/24@storage ctr-1/net1',
      '10.0.0.6/24@storage ctr-1/net1',
      'fd00::5/64@storage ctr-1/net1',
    ])
    expect(store.inspect().filter(({ name }) => name !== '.passing')).toEqual([])
  })

  it('keeps what is left of an attachment when somebody else has what a killed run was to take', async () => {
    lease('10.0.0.5', 'ctr-1\r\nnet1')
    lease('10.0.0.6', 'ctr-1\r\nnet1')
    await importFolder()

    unlinkSync(`${dataDir}/leases/10.0.0.6@storage`)
    put(ours('other', ['10.0.0.6/24'], { space: 'storage' }))
    expect(await importFolder()).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('skipped 10.0.0.6: held by'),
    })
    expect(held()).toEqual(['10.0.0.5/24@storage ctr-1/net1', '10.0.0.6/24@storage other/net1'])
    expect(store.inspect()).toEqual([])
  })

  it('completes what a killed run has left', async () => {
    lease('10.0.0.5', 'ctr-1\r\nnet1')
    await importFolder()

    unlinkSync(`${dataDir}/leases/10.0.0.5@storage`)
    expect(await importFolder()).toMatchObject({ exitCode: 0 })
    expect(store.inspect()).toEqual([])
  })

  it('leaves an attachment alone that was claimed here with other addresses', async () => {
    put(ours('ctr-1', ['10.0.0.20/24'], { space: 'storage' }))
    lease('10.0.0.5', 'ctr-1\r\nnet1')
    expect(await importFolder()).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('is recorded already, with other addresses'),
    })
    expect(held()).toEqual(['10.0.0.20/24@storage ctr-1/net1'])
  })

  it('holds the addresses where the config will look: of another ipam.dataDir, or of --space', async () => {
    lease('10.0.0.5', 'ctr-1\r\nnet1')
    expect((await importFolder('--ipam-data-dir', '/data/ipam', '--dry-run')).stdout).toMatch(
      /into the space "storage~[0-9a-f]{8}"/,
    )
    expect(await importFolder('--space', 'a/b')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('Cannot use the space'),
    })
    await importFolder('--space', 'default')

    expect(store.list().records[0]?.leases).toEqual([{ address: '10.0.0.5/24', range: '10.0.0.0/24' }])
  })

  it('is released all at once by hand, after a look', async () => {
    put(ours('ctr-9', ['10.0.0.99/24']))
    lease('10.0.0.5', 'ctr-1\r\nnet1')
    await importFolder()

    const wish = ['leases', 'release', '--imported', '--network', 'storage']
    expect(await berth(wish)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('1 imported attachment would be released'),
    })
    expect(store.list().records).toHaveLength(2)
    expect((await berth([...wish, '--yes'])).stdout).toBe('released 10.0.0.5/24@storage of storage/ctr-1/net1\n')
    expect((await berth([...wish, '--yes'])).stdout).toBe('nothing imported is held in the network storage\n')
    expect(held()).toEqual(['10.0.0.99/24@undefined ctr-9/net1'])
  })

  it('fails when there is no such folder', async () => {
    const answer = await berth(['import', 'host-local', '/nowhere', '--network', 'a', '--range', '10.0.0.0/24'])
    expect(answer).toMatchObject({ exitCode: 1, stdout: '', stderr: expect.stringContaining('ENOENT') })
  })
})
