/** How long a VLAN link of Berth's lasts: failures, kills, lost namespaces, released records, and many at once. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { binaries, ip, type Pod } from '../e2e/host.ts'
import { inNetns, reaches } from '../e2e/reach.ts'
import { byKey, far, silence, Tagged } from './tagged.ts'

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

test('the link goes when the last namespace is gone, and when its record was released and GC comes, or a DEL', () => {
  using host = new Tagged()
  const [gone, kept, last] = [host.pod(), host.pod(), host.pod()]
  const config = host.config(byKey)
  host.add(gone, config)
  ip('netns', 'del', gone.name)
  expect(host.call('DEL', gone, config)).toEqual(silence)
  expect(host.hasLink()).toBe(false)

  const release = (pod: Pod): void => {
    const what = `net-a/${pod.containerId}/net1`
    const command = ['env', `BERTH_DATA_DIR=${host.dataDir}`, `${binaries}/berth`, 'leases', 'release', what, '--force']
    expect(inNetns(host.node, ...command)).toBe(true)
    ip('-n', pod.name, 'link', 'del', 'net1')
  }
  host.add(kept, config)
  release(kept)
  expect(host.hasLink()).toBe(true)
  host.call('GC', kept, { ...config, 'cni.dev/valid-attachments': [] })
  expect(host.hasLink()).toBe(false)

  host.add(last, config)
  release(last)
  expect(host.call('DEL', last, config).exitCode).toBe(0)
  expect(host.hasLink()).toBe(false)
})

/** What a call that was started has said, once it is over. */
async function said(child: ChildProcess): Promise<string> {
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (more) => (text += more))
  await once(child, 'close')
  return text
}

test('ADD or DEL killed at any moment leaves what one DEL removes', async () => {
  using host = new Tagged()
  const pod = host.pod()
  const config = host.config(byKey)
  const killed = async (verb: string, until: (child: ChildProcess) => Promise<unknown>): Promise<void> => {
    const child = host.start(verb, pod, config)
    const over = said(child)
    await until(child)
    child.kill('SIGKILL')
    await over
  }
  for (let round = 0; round < 6; round++) {
    await killed('ADD', async (child) => {
      while (!host.hasLink() && child.exitCode === null) await pause(5)
      await pause(round * 10)
    })
    if (round % 2 === 1) await killed('DEL', () => pause(250 + round * 60))
    expect(host.call('DEL', pod, config)).toEqual(silence)
    expect([host.hasLink(), host.leaseFiles()]).toEqual([false, []])
  }
})

test('attachments that come and go at once never lose the link, and the last one takes it away', async () => {
  using host = new Tagged()
  const pods = [host.pod(), host.pod(), host.pod(), host.pod()]
  const config = host.config(byKey)
  const live = async (pod: Pod, stayMs: number): Promise<void> => {
    for (let turn = 0; turn < 3; turn++) {
      expect(JSON.parse(await said(host.start('ADD', pod, config)))).toMatchObject({ interfaces: [{ name: 'net1' }] })
      await pause(stayMs)
      expect(host.linksOf(pod.name)).toContain('net1')
      expect(await said(host.start('DEL', pod, config))).toBe('')
    }
  }
  await Promise.all(pods.map((pod, place) => live(pod, 1000 * place)))
  expect(host.hasLink()).toBe(false)
})
