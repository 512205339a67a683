/** The packaged installer, killed at every system call that changes a name, where it takes names by force and where it gives them back. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { injectInto, type Point, type Recorded, type Run, recordRun } from '../crash/strace.ts'
import { filesOf, Node } from '../install/node.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { binaries } from './host.ts'

const limitMs = 120_000
const wish = { aliases: ['macvlan', 'whereabouts'], force: true }
const theirs = { macvlan: 'of somebody', whereabouts: 'of somebody' }

/** A node on which somebody has the names of two aliases: a file, and a link to it. */
function occupiedNode(): Node {
  const node = new Node()
  mkdirSync(node.binDir, { recursive: true })
  writeFileSync(join(node.binDir, 'macvlan'), 'of somebody', { mode: 0o755 })
  symlinkSync('macvlan', join(node.binDir, 'whereabouts'))
  return node
}

function runOf({ root, binDir, ownConfDir }: Node, ...args: string[]): Run {
  const places = ['--cni-bin-dir', binDir, '--cni-conf-dir', join(ownConfDir, '..')]
  return {
    ...{ program: 'berth', args: ['install', ...places, ...args], environment: {}, stdin: '' },
    ...{ dataDir: root, trace: join(temporaryDirectory(), 'trace') },
  }
}

/** What is in the folder of plugins; a name that leads nowhere fails. */
const said = ({ binDir }: Node): Record<string, string> =>
  Object.fromEntries(
    readdirSync(binDir)
      .filter((name) => !name.startsWith('.'))
      .map((name) => [name, readFileSync(join(binDir, name), 'utf8')]),
  )

const changesNames = ({ syscall }: Point): boolean => /^(rename|link|symlink|unlink|mkdir|rmdir)/.test(syscall)

/** Kills a run at each of its points, each time on a node of its own. Returns how many there were. */
function killEverywhere(node: () => Node, run: (node: Node) => Run, check: (node: Node) => void): number {
  const recorded: Recorded = recordRun(run(node()))
  const points = recorded.points.filter(changesNames)
  for (const point of points) {
    const one = node()
    expect(injectInto(run(one), point, 'SIGKILL', recorded), `${point.syscall} ${point.what}`).toBeDefined()
    check(one)
  }
  return points.length
}

test('installers that come at once, where nothing is, all succeed', async () => {
  const files = filesOf('one')
  for (let round = 0; round < 3; round++) {
    const node = new Node()
    const { args } = runOf(node, '--from', files)
    const started = Array.from({ length: 4 }, () =>
      spawn(join(binaries, 'berth'), args, { stdio: ['ignore', 'ignore', 'inherit'] }),
    )
    const codes = await Promise.all(started.map(async (child) => (await once(child, 'exit'))[0]))
    expect(codes).toEqual([0, 0, 0, 0])
    expect(said(node)['berth-ipam']).toBe('berth-ipam of one')
  }
})

test(
  'an installer that takes names by force leaves each to one of both whenever it is killed, and can be gone on with or undone',
  async () => {
    const files = filesOf('one')
    const arguments_ = ['--from', files, '--force', ...wish.aliases.flatMap((alias) => ['--alias', alias])]
    const killed: Node[] = []
    const count = killEverywhere(
      occupiedNode,
      (node) => runOf(node, ...arguments_),
      (node) => {
        expect(['of somebody', 'berth-macvlan of one']).toContain(said(node).macvlan)
        expect(['of somebody', 'berth-macvlan of one', 'berth-ipam of one']).toContain(said(node).whereabouts)
        killed.push(node)
      },
    )
    process.stdout.write(`killed at ${count} calls\n`)
    expect(count).toBeGreaterThan(15)
    for (const [index, node] of killed.entries()) {
      if (index % 2 === 0) {
        await node.install(files, wish)
        expect(said(node)).toMatchObject({ macvlan: 'berth-macvlan of one', whereabouts: 'berth-ipam of one' })
      }
      await node.uninstall()
      expect([said(node), readdirSync(node.binDir)]).toEqual([theirs, ['macvlan', 'whereabouts']])
    }
  },
  limitMs,
)

test(
  'an uninstallation leaves each name to one of both whenever it is killed, and a second one completes it',
  async () => {
    const files = filesOf('one')
    const nodes = Array.from({ length: 60 }, occupiedNode)
    for (const node of nodes) await node.install(files, { ...wish, kubeconfig: '{}' })
    const killed: Node[] = []
    const next = (): Node => {
      const node = nodes.pop()
      if (node === undefined) throw new Error('more calls than nodes')
      return node
    }
    const count = killEverywhere(
      next,
      (node) => runOf(node, '--uninstall'),
      (node) => {
        expect(['of somebody', 'berth-macvlan of one']).toContain(said(node).macvlan)
        killed.push(node)
      },
    )
    process.stdout.write(`killed at ${count} calls\n`)
    expect(count).toBeGreaterThan(10)
    for (const node of killed) {
      await node.uninstall()
      expect([said(node), readdirSync(node.binDir), readdirSync(node.root)]).toEqual([
        theirs,
        ['macvlan', 'whereabouts'],
        ['bin', 'conf'],
      ])
    }
  },
  limitMs,
)
