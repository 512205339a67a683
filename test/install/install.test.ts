import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

import { readFileSet } from '../../install/file-set.ts'
import { takeInstallLock } from '../../install/lock.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { filesOf, Node } from './node.ts'

const read = (...parts: string[]): string => readFileSync(join(...parts), 'utf8')

describe('an installation', () => {
  it('puts every file where its name leads to', async () => {
    const node = new Node()
    await node.install(filesOf('one'))
    expect(readdirSync(node.binDir).sort()).toEqual(['.berth', 'berth', 'berth-ipam', 'berth-macvlan'])
    expect(read(node.binDir, 'berth-macvlan')).toBe('berth-macvlan of one')
    expect(read(node.binDir, '.berth/current/lib/libc.so.6')).toBe('libc of one')
    const modes = ['berth', 'lib/ld.so', 'lib/libc.so.6'].map((name) =>
      (statSync(join(node.binDir, '.berth/current', name)).mode & 0o777).toString(8),
    )
    expect(modes).toEqual(['755', '755', '644'])
    expect(read(node.ownConfDir, 'berth.conf')).toBe('{}\n')
  })

  it('does nothing when it is done again', async () => {
    const [node, files] = [new Node(), filesOf('one')]
    await node.install(files)
    expect(await node.install(files)).toEqual([])
  })

  it('switches to another version at one instant, and keeps the one before', async () => {
    const node = new Node()
    await node.install(filesOf('one'))
    const before = readlinkSync(join(node.binDir, '.berth/current'))
    const lines = await node.install(filesOf('two'))
    const after = readlinkSync(join(node.binDir, '.berth/current'))
    expect(lines.at(-1)).toBe(`switch from ${before} to ${after}`)
    expect(read(node.binDir, 'berth')).toBe('berth of two')
    expect(read(node.binDir, '.berth', before, 'berth')).toBe('berth of one')
  })

  it('goes back to the version before by a switch alone', async () => {
    const [node, one] = [new Node(), filesOf('one')]
    await node.install(one)
    await node.install(filesOf('two'))
    expect(await node.install(one)).toEqual([expect.stringMatching(/^switch from /)])
  })

  it('removes versions that have rested, but for the last one', async () => {
    const node = new Node()
    const ids: string[] = []
    for (const [index, version] of ['one', 'two', 'three'].entries()) {
      await node.install(filesOf(version))
      ids.push(readlinkSync(join(node.binDir, '.berth/current')))
      const then = Date.now() / 1000 - 3600 + index
      for (const id of ids.filter((one) => existsSync(join(node.binDir, '.berth', one))))
        utimesSync(join(node.binDir, '.berth', id), then, then)
    }
    await node.install(filesOf('four'))
    const [one = '', two = '', three = ''] = ids
    const isThere = (id: string): boolean => existsSync(join(node.binDir, '.berth', id))
    expect([one, two, three].map(isThere)).toEqual([false, false, true])
  })

  it('leaves versions that calls may still use', async () => {
    const node = new Node()
    for (const version of ['one', 'two', 'three', 'four']) await node.install(filesOf(version))
    expect(readdirSync(join(node.binDir, '.berth')).filter((name) => /^1\.0\.0-/.test(name))).toHaveLength(4)
  })

  it('copies again what has been damaged', async () => {
    const [node, files] = [new Node(), filesOf('one')]
    await node.install(files)
    const path = join(node.binDir, '.berth/current/berth')
    writeFileSync(path, 'berth of 0ne')
    chmodSync(join(node.binDir, '.berth/current/lib/ld.so'), 0o600)
    expect(await node.install(files)).toEqual([
      expect.stringMatching(/^make directory/),
      expect.stringMatching(/^make directory/),
      'copy berth (12 bytes)',
      'copy lib/ld.so (16 bytes)',
    ])
    expect(read(path)).toBe('berth of one')
  })

  it('completes what a killed one has left', async () => {
    const [node, files] = [new Node(), filesOf('one')]
    const { id } = node.set(files)
    mkdirSync(join(node.binDir, '.berth', id), { recursive: true })
    writeFileSync(join(node.binDir, '.berth', id, '.new,berth'), 'berth o')
    writeFileSync(join(node.binDir, '.berth', id, 'berth-ipam'), 'berth-ipam of one', { mode: 0o755 })
    symlinkSync('nowhere', join(node.binDir, '.berth', '.new,current'))
    const lines = await node.install(files)
    expect(lines.filter((line) => line.startsWith('remove left over'))).toHaveLength(2)
    expect(lines.some((line) => line.startsWith('copy berth-ipam'))).toBe(false)
    expect(read(node.binDir, 'berth')).toBe('berth of one')
  })

  it('waits for another installer', async () => {
    const node = new Node()
    const lock = await takeInstallLock(node.binDir)
    let done = false
    const second = node.install(filesOf('one')).then(() => {
      done = true
    })
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(done).toBe(false)
    lock[Symbol.dispose]()
    await second
    expect(done).toBe(true)
  })
})

describe('the names of an installation', () => {
  it('are those of other plugins, too, when they are asked for, and go when they are not any more', async () => {
    const [node, files] = [new Node(), filesOf('one')]
    await node.install(files, { aliases: ['macvlan', 'whereabouts'] })
    expect(readlinkSync(join(node.binDir, 'whereabouts'))).toBe('.berth/current/whereabouts')
    await node.install(files, { aliases: ['macvlan'] })
    expect(readdirSync(node.binDir)).toEqual(['.berth', 'berth', 'berth-ipam', 'berth-macvlan', 'macvlan'])
  })

  it('are refused, all at once, when somebody else has them, and nothing is changed', async () => {
    const [node, files] = [new Node(), filesOf('one')]
    mkdirSync(node.binDir)
    for (const name of ['macvlan', 'berth-ipam']) writeFileSync(join(node.binDir, name), 'of somebody')
    const before = readdirSync(node.binDir)
    expect(() => node.plan(files, { aliases: ['macvlan'] })).toThrow(
      `Cannot replace "${node.binDir}/berth-ipam", "${node.binDir}/macvlan": it is not from this installer`,
    )
    expect(readdirSync(node.binDir)).toEqual(before)
  })

  it('are taken when they are a copy of ours', async () => {
    const [node, files] = [new Node(), filesOf('one')]
    mkdirSync(node.binDir)
    writeFileSync(join(node.binDir, 'berth-ipam'), 'berth-ipam of one')
    await node.install(files)
    expect(readlinkSync(join(node.binDir, 'berth-ipam'))).toBe('.berth/current/berth-ipam')
  })

  it.each(['file', 'symbolic link'])("are taken by force from somebody's %s, who gets it back", async (kind) => {
    const [node, files] = [new Node(), filesOf('one')]
    mkdirSync(node.binDir)
    const path = join(node.binDir, 'macvlan')
    if (kind === 'file') writeFileSync(path, 'of somebody', { mode: 0o755 })
    else symlinkSync('/bin/true', path)
    await node.install(files, { aliases: ['macvlan'], force: true })
    expect(readlinkSync(path)).toBe('.berth/current/macvlan')
    await node.install(filesOf('two'), { aliases: ['macvlan'] })
    await node.uninstall()
    if (kind === 'file') expect(read(path)).toBe('of somebody')
    else expect(readlinkSync(path)).toBe('/bin/true')
    expect(readdirSync(node.binDir)).toEqual(['macvlan'])
  })

  it('are never taken from a directory', () => {
    const [node, files] = [new Node(), filesOf('one')]
    mkdirSync(join(node.binDir, 'berth'), { recursive: true })
    expect(() => node.plan(files, { force: true })).toThrow('it is a directory')
  })

  it('cannot be those of a plugin that is not there', () => {
    const [node, files] = [new Node(), filesOf('one')]
    expect(() => node.plan(files, { aliases: ['sriov'] })).toThrow(
      'Cannot answer as "sriov": there is no "berth-sriov"',
    )
  })
})

describe('what is installed', () => {
  it.each([
    [
      'is damaged',
      (folder: string) => writeFileSync(join(folder, 'berth-ipam'), 'x'),
      /berth-ipam": it is damaged: its SHA-256/,
    ],
    [
      'has one more',
      (folder: string) => writeFileSync(join(folder, 'berth-x'), 'x'),
      /berth-x": it is damaged: .* has none/,
    ],
    ['is no file', (folder: string) => mkdirSync(join(folder, 'berth-x')), /berth-x": it is no regular file/],
  ])('is refused when a file of it %s', (_, spoil, message) => {
    const [folder, node] = [filesOf('one'), new Node()]
    const sums = node.set(folder).files.map(({ name, sha256 }) => `${sha256}  ${name}\n`)
    writeFileSync(join(folder, 'SHA256SUMS'), sums.join(''))
    expect(() => readFileSet(folder, '1')).not.toThrow()
    spoil(folder)
    expect(() => readFileSet(folder, '1')).toThrow(message)
  })

  it('is refused when it is incomplete, or its checksums are none', () => {
    const folder = temporaryDirectory()
    expect(() => readFileSet(folder, '1')).toThrow('there is no "berth" in it')
    writeFileSync(join(folder, 'berth'), '')
    expect(() => readFileSet(folder, '1')).toThrow('there is no plugin in it')
    writeFileSync(join(folder, 'berth-ipam'), '')
    writeFileSync(join(folder, 'SHA256SUMS'), 'nothing\n')
    expect(() => readFileSet(folder, '1')).toThrow('SHA256SUMS": "nothing" is no checksum of a file')
    writeFileSync(join(folder, 'SHA256SUMS'), `${'0'.repeat(64)}  lib/gone\n`)
    expect(() => readFileSet(folder, '1')).toThrow('lib/gone": it is missing')
  })
})

describe('what an installation does to the folder of configs', () => {
  it('leaves what an administrator has written, unless it is told', async () => {
    const [node, files] = [new Node(), filesOf('one')]
    mkdirSync(node.ownConfDir, { recursive: true })
    writeFileSync(join(node.ownConfDir, 'berth.conf'), '{"ipam": {"sticky": true}}')
    await node.install(files)
    expect(read(node.ownConfDir, 'berth.conf')).toBe('{"ipam": {"sticky": true}}')
    await node.install(files, { defaults: '{"ipam": {}}\n', kubeconfig: '{}' })
    expect(read(node.ownConfDir, 'berth.conf')).toBe('{"ipam": {}}\n')
    const mode = (): number => statSync(join(node.ownConfDir, 'berth.kubeconfig')).mode & 0o777
    expect(mode()).toBe(0o600)
    chmodSync(join(node.ownConfDir, 'berth.kubeconfig'), 0o640)
    await node.install(files, { kubeconfig: '{}' })
    expect(mode()).toBe(0o600)
  })

  it('leaves the files of others, and leases unless it is told, when it is undone', async () => {
    const [node, files] = [new Node(), filesOf('one')]
    await node.install(files, { kubeconfig: '{}' })
    const leases = join(node.root, 'leases')
    mkdirSync(join(leases, 'inner'), { recursive: true })
    writeFileSync(join(node.ownConfDir, 'own.conf'), '')
    await node.uninstall()
    expect([readdirSync(node.binDir), readdirSync(node.ownConfDir), existsSync(leases)]).toEqual([
      [],
      ['own.conf'],
      true,
    ])
    await node.uninstall(leases)
    expect(existsSync(leases)).toBe(false)
  })
})
