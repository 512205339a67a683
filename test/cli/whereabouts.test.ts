import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { berth, contentOf, dataDir, ours, put, store } from './berth.ts'

const fixture = readFileSync(join(import.meta.dirname, '..', 'fixtures', 'ippool.yaml'), 'utf8')

const pool = (range: string, allocations: object, name = range.replace(/[:/]/g, '-')): object => ({
  apiVersion: 'whereabouts.cni.cncf.io/v1alpha1',
  kind: 'IPPool',
  metadata: { name, namespace: 'kube-system', resourceVersion: '4711' },
  spec: { range, allocations },
})
const one = (id: string, more: object = {}): object => ({ id, podref: 'shop/web-0', ifname: 'net1', ...more })

const importOf = (input: object | string, ...more: string[]) =>
  berth(
    ['import', 'whereabouts', '--network', 'storage', ...more],
    typeof input === 'string' ? input : JSON.stringify(input),
  )
const held = (): string[] =>
  store
    .list()
    .records.flatMap(({ containerId, ifName, leases }) =>
      leases.map(({ address }) => `${address} ${containerId}/${ifName}`),
    )
    .sort()

describe('berth import whereabouts', () => {
  it('takes over a dump of kubectl in YAML: offsets, pods, and interfaces that old versions did not write', async () => {
    const { exitCode, stdout, stderr } = await importOf(fixture, '--pool', '172.17.0.0-24', '--pool', 'fd00-17---64')
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    expect(held()).toEqual([
      '172.17.0.30/24 4f1e8a0c7d/net1',
      '172.17.0.31/24 123456789012/net1',
      'fd00:17::1e/64 4f1e8a0c7d/net1',
    ])
    expect(stdout).toContain('imported 2 attachments with 3 addresses into the space "default"; 0 were there already')
    expect(stdout).toContain('1 entry without an interface: "net1" is assumed')
    expect(stdout).toContain('addresses of pods on other nodes are held here too')
    expect(store.list().records.find(({ containerId }) => containerId === '4f1e8a0c7d')).toMatchObject({
      imported: 'whereabouts',
      pod: { namespace: 'openstack', name: 'glance-0' },
      leases: [
        { address: '172.17.0.30/24', range: '172.17.0.0/24' },
        { address: 'fd00:17::1e/64', range: 'fd00:17::/64' },
      ],
    })
    expect(store.inspect()).toEqual([])
    const before = contentOf(dataDir)
    expect((await importOf(fixture, '--pool', '172.17.0.0-24', '--pool', 'fd00-17---64')).stdout).toContain(
      '2 were there already',
    )
    expect(contentOf(dataDir)).toEqual(before)
  })

  it('reads JSON: an object, a list, objects behind one another', async () => {
    const [a, b] = [pool('10.0.0.0/24', { 5: one('a') }), pool('10.0.1.0/24', { 6: one('b') })]
    const both = ['--pool', '10.0.0.0-24', '--pool', '10.0.1.0-24']
    expect((await importOf(a)).exitCode).toBe(0)
    expect(held()).toEqual(['10.0.0.5/24 a/net1'])
    expect((await importOf({ apiVersion: 'v1', kind: 'List', items: [a, b] }, ...both)).exitCode).toBe(0)
    expect(held()).toEqual(['10.0.0.5/24 a/net1', '10.0.1.6/24 b/net1'])
    expect((await importOf(`${JSON.stringify(a)}\n---\n${JSON.stringify(b)}`, ...both)).stdout).toContain(
      '2 were there already',
    )
  })

  it('asks for the pools when there are several, and for the space when the name does not tell it', async () => {
    const several = [pool('10.0.0.0/24', {}), pool('10.0.1.0/24', {})]
    expect(await importOf(several)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('--pool: "10.0.0.0-24", "10.0.1.0-24"'),
    })
    expect(await importOf(several, '--pool', 'x')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('no IPPool "x"'.slice(3)),
    })
    const named = pool('10.0.0.0/24', { 5: one('a') }, 'test-10.0.0.0-24')
    expect(await importOf(named)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('"test" in the name of the IPPool'),
    })
    expect((await importOf(named, '--space', 'test')).exitCode).toBe(0)
    expect(store.list().records[0]?.leases).toEqual([{ address: '10.0.0.5/24', range: '10.0.0.0/24', space: 'test' }])
  })

  it('counts from the address of the range, and takes the prefix length of --range where a pool is a slice', async () => {
    await importOf(pool('10.0.0.16/28', { 3: one('a') }), '--range', '10.0.0.0/24')
    await importOf(pool('fd00::100/120', { 18: one('b') }))

    expect(held()).toEqual(['10.0.0.19/24 a/net1', 'fd00::112/120 b/net1'])
  })

  it('names what it skips, whatever is in it, and imports the rest', async () => {
    put(ours('other', ['10.0.0.9/24']))
    const { exitCode, stderr } = await importOf(
      pool('10.0.0.0/24', {
        5: one('a'),
        9: one('b'),
        256: one('c'),
        18446463705355360228: one('d'),
        '-1': one('e'),
        x: one('f'),
        7: null,
        8: { podref: 'a/b' },
        10: one('../../etc/passwd'),
        11: one('g', { ifname: 'a/b' }),
        '\u001b[2J': one('h'),
      }),
    )
    expect(exitCode).toBe(1)
    expect(held()).toEqual(['10.0.0.5/24 a/net1', '10.0.0.9/24 other/net1'])
    expect(stderr.trim().split('\n')).toHaveLength(10)
    for (const [offset, why] of [
      ['9', 'held by "other/net1" of network "storage"'],
      ['256', 'its offset leads out of the range'],
      ['-1', 'its key is not an offset'],
      ['7', 'it does not say for which container it is'],
      ['10', 'invalid characters in containerID'],
      ['?[2J', 'its key is not an offset'],
    ]) {
      expect(stderr).toContain(`skipped 10.0.0.0-24/${offset}: ${why}`)
    }
  })

  it('skips the second of two entries that lead to one address, in a dry run as well', async () => {
    const two = [pool('10.0.0.0/24', { 5: one('a') }), pool('10.0.0.0/28', { 5: one('b') })]
    for (const more of [['--dry-run'], []]) {
      const { exitCode, stdout, stderr } = await importOf(
        two,
        '--pool',
        '10.0.0.0-24',
        '--pool',
        '10.0.0.0-28',
        ...more,
      )
      expect(exitCode).toBe(1)
      expect(stdout).toContain('import')
      expect(stderr).toBe('skipped 10.0.0.0-28/5: held by "a/net1" of network "storage"\n')
    }
  })

  it.each([
    ['', 'there is no IPPool in the input'],
    ['kind: Pod', 'there is no IPPool in the input'],
    ['kind: [', 'neither JSON nor YAML'],
    [pool('10.0.0.0', {}), 'Cannot read the IPPool "10.0.0.0": "spec.range": "10.0.0.0": not a range'],
    [{ kind: 'IPPool', metadata: { name: 'x' } }, 'Cannot read the IPPool "x": "spec": nothing: '],
    [
      `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghi'.replace(/./g, (letter, at) => `${letter}: &${letter} [${`*${'abcdefgh'[at]},`.repeat(9)}]\n`)}`,
      'alias',
    ],
  ])('fails when the input is %j', async (input, message) => {
    const answer = await importOf(input)
    expect(answer).toMatchObject({ exitCode: 1, stdout: '' })
    expect(answer.stderr).toContain(message)
  })
})
