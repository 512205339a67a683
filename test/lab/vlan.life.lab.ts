/** How long a VLAN link of Berth's lasts: failures, kills, lost namespaces, released records, and many at once. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { binaries, type Host, ip, type Pod } from '../e2e/host.ts'
import { reaches } from '../e2e/reach.ts'
import { some, traced } from './killed.ts'
import { byKey, far, silence, Tagged, throughAgent } from './tagged.ts'

test('a failed ADD leaves no link, and takes none from a pod that is attached', () => {
  using host = new Tagged()
  const pod = host.pod()
  ip('-n', pod.name, 'link', 'add', 'net1', 'type', 'dummy')
  expect(host.error('ADD', pod, host.config(byKey)).code).toBe(103)
  expect([host.hasLink(), host.leaseFiles()]).toEqual([false, []])
  ip('-n', pod.name, 'link', 'del', 'net1')
  host.add(pod, host.config(byKey))
  expect(host.error('ADD', pod, host.config(byKey)).code).toBe(103)
  expect(reaches(pod.name, far)).toBe(true)
  host.call('DEL', pod, host.config(byKey))
})

const berth = (host: Host, ...args: string[]): string => {
  const command = ['env', `BERTH_DATA_DIR=${host.dataDir}`, `${binaries}/berth`, ...args]
  return ip('netns', 'exec', host.node, ...command)
}

test('the link goes when the last namespace is gone, and when its record was released and GC, a sweep or a DEL comes', () => {
  using host = new Tagged()
  const [gone, kept, swept, last] = [host.pod(), host.pod(), host.pod(), host.pod()]
  const config = host.config(byKey)
  host.add(gone, config)
  ip('netns', 'del', gone.name)
  expect(host.call('DEL', gone, config)).toEqual(silence)
  expect(host.hasLink()).toBe(false)

  const release = (pod: Pod): void => {
    berth(host, 'leases', 'release', `net-a/${pod.containerId}/net1`, '--force')
    ip('-n', pod.name, 'link', 'del', 'net1')
    expect(host.hasLink()).toBe(true)
  }
  host.add(kept, config)
  release(kept)
  host.call('GC', kept, { ...config, 'cni.dev/valid-attachments': [] })
  expect(host.hasLink()).toBe(false)

  host.add(swept, config)
  const sweep = (...options: string[]): object => JSON.parse(berth(host, 'leases', 'sweep', '--json', ...options))
  expect(sweep()).toMatchObject({ vlans: [] })
  release(swept)
  expect(sweep('--dry-run')).toMatchObject({ vlans: ['nic0.20'] })
  expect(host.hasLink()).toBe(true)
  expect(sweep()).toMatchObject({ vlans: ['nic0.20'] })
  expect(host.hasLink()).toBe(false)

  host.add(last, config)
  release(last)
  expect(host.call('DEL', last, config).exitCode).toBe(0)
  expect(host.hasLink()).toBe(false)
})

test('a record that cannot be read keeps the link, which is said with its name, unless it is the one of the DEL', () => {
  using host = new Tagged()
  const [pod, other] = [host.pod(), host.pod()]
  const config = host.config(byKey)
  const record = (name: string): string => join(host.dataDir, 'leases', name)
  host.add(pod, config)
  writeFileSync(record('net-b,bad,net1'), 'x')
  expect(host.call('DEL', pod, config).stderr).toContain(
    '"nic0.20" has no attachment any more and stays: the record "net-b,bad,net1" is damaged',
  )
  expect(host.hasLink()).toBe(true)
  rmSync(record('net-b,bad,net1'))
  host.add(other, config)
  writeFileSync(record(`net-a,${other.containerId},net1`), 'x')
  expect(host.call('DEL', other, config).exitCode).toBe(0)
  expect(host.hasLink()).toBe(false)
})

test.each([
  ['ADD', 'berth-ipvlan', 6],
  ['DEL', 'berth-macvlan', 4],
])(
  '%s of %s killed at any of its steps leaves what one DEL removes',
  (verb, plugin, count) => {
    using host = new Tagged()
    const pod = host.pod()
    const config = host.config({ type: plugin, ...byKey })
    const begin = (): void => {
      if (verb === 'DEL') host.add(pod, config, { plugin })
    }
    // The first one makes the directories of the store.
    for (const once of ['ADD', 'DEL']) host.call(once, pod, config, { plugin })
    begin()
    const { steps } = traced(host, verb, pod, config, plugin)
    host.call('DEL', pod, config, { plugin })
    // Before the record there is nothing to remove.
    const counting = verb === 'ADD' ? steps.slice(steps.findIndex(({ syscall }) => syscall === 'link')) : steps
    expect(counting.length).toBeGreaterThan(count)
    for (const at of some(counting, count)) {
      begin()
      expect([at, traced(host, verb, pod, config, plugin, at).isKilled]).toEqual([at, true])
      expect(host.call('DEL', pod, config, { plugin })).toEqual(silence)
      expect([at, host.hasLink(), host.leaseFiles()]).toEqual([at, false, []])
    }
  },
  300_000,
)

/** What a call that was started has said, once it is over. */
async function said(child: ChildProcess): Promise<string> {
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (more) => (text += more))
  await once(child, 'close')
  return text
}

describe.each([
  ['processes of their own', false],
  ['an agent', true],
])('through %s', (_, isAgent) => {
  if (isAgent) throughAgent()

  test('two last calls at the same time leave no link, be they DELs or ADDs that fail', async () => {
    using host = new Tagged()
    const [one, other] = [host.pod(), host.pod()]
    const pods = [one, other]
    const config = host.config(byKey)
    const both = (verb: string): Promise<string[]> =>
      Promise.all(pods.map((pod) => said(host.start(verb, pod, config))))
    for (let round = 0; round < 3; round++) {
      await both('ADD')
      expect(host.hasLink()).toBe(true)
      expect(await both('DEL')).toEqual(['', ''])
      expect([round, host.hasLink()]).toEqual([round, false])
    }
    for (const { name } of pods) ip('-n', name, 'link', 'add', 'net1', 'type', 'dummy')
    for (let round = 0; round < 2; round++) {
      for (const answer of await both('ADD')) expect(JSON.parse(answer).code).toBe(103)
      expect([round, host.hasLink(), host.leaseFiles()]).toEqual([round, false, []])
    }
    for (const { name } of pods) ip('-n', name, 'link', 'del', 'net1')
  })

  test('attachments that come and go at once never lose the link, and the last one takes it away', async () => {
    using host = new Tagged()
    const pods = [host.pod(), host.pod(), host.pod(), host.pod()]
    const config = host.config(byKey)
    const live = async (pod: Pod, stayMs: number): Promise<void> => {
      for (let turn = 0; turn < 2; turn++) {
        expect(JSON.parse(await said(host.start('ADD', pod, config)))).toMatchObject({ interfaces: [{ name: 'net1' }] })
        await pause(stayMs)
        expect(host.linksOf(pod.name)).toContain('net1')
        expect(await said(host.start('DEL', pod, config))).toBe('')
      }
    }
    await Promise.all(pods.map((pod, place) => live(pod, 1000 * place)))
    expect(host.hasLink()).toBe(false)
  })
})
