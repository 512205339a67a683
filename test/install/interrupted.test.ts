/** What killed and failed installers leave, and what the next one makes of it. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { applySteps } from '../../install/apply.ts'
import { planInstall, planUninstall, type Step } from '../../install/plan.ts'
import { filesOf, Node } from './node.ts'

const hour = 3_600_000
const mebibyte = 1024 * 1024

/** As if nothing had been done with a version for so long. */
function rest(node: Node, id: string, ms = hour): void {
  const then = (Date.now() - ms) / 1000
  utimesSync(join(node.own, id), then, then)
}

describe('the room that is left', () => {
  /** Whether there is room for a version when that many bytes are free. */
  const plan = (node: Node, from: string, freeBytes: number) => () => {
    const [set, wish] = [node.set(from), node.wish()]
    return planInstall(wish, set, { ...node.survey(set, wish), freeBytes })
  }

  it('is also that of what a killed one has left of another version', async () => {
    const node = new Node()
    await node.install(filesOf('one'))
    expect(plan(node, filesOf('two'), 0)).toThrow('bytes are needed, 0 are free')
    mkdirSync(join(node.own, '1.0.0-killed', 'lib'), { recursive: true })
    writeFileSync(join(node.own, '1.0.0-killed', '.new,berth'), Buffer.alloc(mebibyte))
    expect(plan(node, filesOf('two'), 0)()).toContainEqual({
      do: 'remove left over',
      path: join(node.own, '1.0.0-killed'),
    })
    await node.install(filesOf('two'))
    expect(existsSync(join(node.own, '1.0.0-killed'))).toBe(false)
  })

  it('is also that of versions that have rested', async () => {
    const node = new Node()
    for (const version of ['one', 'two']) await node.install(filesOf(version))
    const old = readlinkSync(join(node.own, 'previous'))
    writeFileSync(join(node.own, old, 'large'), Buffer.alloc(mebibyte))
    expect(plan(node, filesOf('three'), 0)).toThrow('0 are free')
    rest(node, old)
    expect(plan(node, filesOf('three'), 0)()).toContainEqual({ do: 'remove version', id: old })
  })
})

describe('a version', () => {
  it('that was just replaced rests from then on, wherever the installer was killed', async () => {
    const node = new Node()
    await node.install(filesOf('one'))
    const one = readlinkSync(join(node.own, 'current'))
    rest(node, one)
    const [set, wish] = [node.set(filesOf('two')), node.wish()]
    const steps = planInstall(wish, set, node.survey(set, wish))
    // Nothing after the switch was done, and the folder is all that is left to tell.
    applySteps(steps.slice(0, steps.findIndex((step) => step.do === 'switch') + 1), { ...wish, set }, () => undefined)
    unlinkSync(join(node.own, 'previous'))
    await node.install(filesOf('three'))
    expect(readdirSync(node.own)).toContain(one)
  })

  it('before the one that counts stays, whatever else is younger', async () => {
    const node = new Node()
    await node.install(filesOf('one'))
    const one = readlinkSync(join(node.own, 'current'))
    const two = filesOf('two')
    await node.install(two)
    // Complete, and never switched to.
    const { id } = node.set(filesOf('three'))
    mkdirSync(join(node.own, id))
    writeFileSync(join(node.own, id, 'SHA256SUMS'), '')
    rest(node, one)
    rest(node, id, hour / 2)
    expect(await node.install(two)).toEqual([`remove version ${id}, which is not in use any more`])
    expect(readlinkSync(join(node.own, 'previous'))).toBe(one)
    expect(existsSync(join(node.own, one, 'berth'))).toBe(true)
  })

  it('that counts is not removed when it cannot be repaired', async () => {
    const [node, files] = [new Node(), filesOf('one')]
    await node.install(files)
    rmSync(join(node.own, 'current', 'SHA256SUMS'))
    unlinkSync(join(node.own, 'current', 'berth-ipam'))
    // No file can take this place.
    mkdirSync(join(node.own, 'current', 'berth-ipam'))
    await expect(node.install(files)).rejects.toThrow(/^Cannot copy berth-ipam/)
    expect(readFileSync(join(node.binDir, 'berth'), 'utf8')).toBe('berth of one')
  })

  it('that was being removed is gone after the next one', async () => {
    const [node, files] = [new Node(), filesOf('one')]
    await node.install(files)
    mkdirSync(join(node.own, '.new,1.0.0-old', 'lib'), { recursive: true })
    mkdirSync(join(node.binDir, '.new,berth', 'lib'), { recursive: true })
    expect(await node.install(files)).toHaveLength(2)
    expect(readdirSync(node.own)).not.toContain('.new,1.0.0-old')
    expect(readdirSync(node.binDir)).not.toContain('.new,berth')
  })
})

/** A node on which somebody has the names of two aliases. */
function occupiedNode(): Node {
  const node = new Node()
  mkdirSync(node.binDir, { recursive: true })
  writeFileSync(join(node.binDir, 'macvlan'), 'of somebody', { mode: 0o755 })
  symlinkSync('macvlan', join(node.binDir, 'whereabouts'))
  return node
}

const forced = { aliases: ['macvlan', 'whereabouts', 'static'], force: true, kubeconfig: '{}' }

/** What every name says; a name that leads nowhere fails. */
const said = (node: Node): Record<string, string> =>
  Object.fromEntries(
    readdirSync(node.binDir)
      .filter((name) => name !== '.berth' && !name.startsWith('.new,'))
      .map((name) => [name, readFileSync(join(node.binDir, name), 'utf8')]),
  )

/** Carries out so many steps and no more; false when there were no more. */
function stopAfter(node: Node, steps: readonly Step[], from: string | undefined, count: number): boolean {
  const set = from === undefined ? { from: '', id: '-', files: [] } : node.set(from)
  applySteps(steps.slice(0, count), { ...node.wish(forced), set }, () => undefined)
  return count < steps.length
}

describe('an installation under names that others have', () => {
  it('works after every one of its steps, can be gone on with and be undone', async () => {
    const files = filesOf('one')
    for (let count = 0, more = true; more; count++) {
      const node = occupiedNode()
      const [set, wish] = [node.set(files), node.wish(forced)]
      more = stopAfter(node, planInstall(wish, set, node.survey(set, wish)), files, count)
      expect(['of somebody', 'berth-macvlan of one']).toContain(said(node).macvlan)
      if (count % 2 === 0) {
        await node.install(files, forced)
        expect(said(node)).toMatchObject({ macvlan: 'berth-macvlan of one', whereabouts: 'berth-ipam of one' })
      }
      await node.uninstall()
      expect(said(node)).toEqual({ macvlan: 'of somebody', whereabouts: 'of somebody' })
      expect(readdirSync(node.binDir)).toEqual(['macvlan', 'whereabouts'])
      expect(existsSync(node.ownConfDir)).toBe(false)
    }
  })

  it('is undone by a second try after any step of the first', async () => {
    const files = filesOf('one')
    for (let count = 0, more = true; more; count++) {
      const node = occupiedNode()
      await node.install(files, forced)
      // A token, too, is not left.
      writeFileSync(join(node.ownConfDir, '.new,berth.kubeconfig'), 'token')
      const nothing = { from: '', id: '-', files: [] }
      const steps = planUninstall(node.survey(nothing, node.wish()), node.ownConfDir, undefined)
      more = stopAfter(node, steps, undefined, count)
      expect(() => said(node)).not.toThrow()
      await node.uninstall()
      expect(said(node)).toEqual({ macvlan: 'of somebody', whereabouts: 'of somebody' })
      expect([readdirSync(node.binDir), existsSync(node.ownConfDir)]).toEqual([['macvlan', 'whereabouts'], false])
    }
  })

  it('is mended by the next one when another installer has written through a link', async () => {
    const [node, files] = [occupiedNode(), filesOf('one')]
    await node.install(files, forced)
    writeFileSync(join(node.binDir, 'whereabouts'), 'theirs')
    expect(said(node)).toMatchObject({ 'berth-ipam': 'berth-ipam of one', static: 'berth-ipam of one' })
    expect(await node.install(files, forced)).toContain('copy whereabouts (17 bytes)')
    renameSync(join(node.binDir, 'static'), join(node.binDir, 'elsewhere'))
    unlinkSync(join(node.binDir, 'elsewhere'))
    expect(await node.install(files, forced)).toEqual([`link ${node.binDir}/static to .berth/current/static`])
  })
})
