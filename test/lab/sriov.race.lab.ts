/** Calls of berth-sriov that want the same VF at the same time, through an agent and without one. */
import { once } from 'node:events'
import { afterEach, expect, test } from 'vitest'
import type { Pod } from '../e2e/host.ts'
import { pciOf } from './guest.ts'
import { range, SriovHost } from './sriov.ts'

const calls = 8
const manyCallsMs = 240_000

afterEach(() => {
  delete process.env.BERTH_TEST_DOOR
})

/** Starts all of them, and waits for their answers. */
async function addAtOnce(host: SriovHost, pods: readonly Pod[], config: object) {
  const running = pods.map(async (pod) => {
    const child = host.start('ADD', pod, config, { plugin: 'berth-sriov' })
    let stdout = ''
    child.stdout?.on('data', (bytes) => {
      stdout += bytes
    })
    const [exitCode]: unknown[] = await once(child, 'close')
    return { exitCode, answer: JSON.parse(stdout) }
  })
  return await Promise.all(running)
}

test.each(['agent', ''])(
  'of eight ADDs of one VF at once one gets it, and by `pf` seven get one each (door "%s")',
  async (door) => {
    process.env.BERTH_TEST_DOOR = door
    using host = new SriovHost()
    const pods = Array.from({ length: calls }, () => host.pod())
    const one = host.vf(0, { ipam: range, vlan: 100, mac: '02:00:00:00:70:01' })
    const first = await addAtOnce(host, pods, one)
    expect(first.filter(({ exitCode }) => exitCode === 0)).toHaveLength(1)
    const refused = first.filter(({ exitCode }) => exitCode !== 0).map(({ answer }) => answer)
    expect(refused.map(({ code }) => code)).toEqual(Array(calls - 1).fill(101))
    expect(host.held()).toEqual([pciOf(0)])
    for (const pod of pods) host.del(pod, one)
    expect(host.leftovers()).toEqual([])

    const any = host.vf(0, { deviceID: '', pf: 'pf0', vlan: 100 })
    const second = await addAtOnce(host, pods, any)
    const taken = second.filter(({ exitCode }) => exitCode === 0).map(({ answer }) => answer.interfaces[0].pciID)
    expect(taken.toSorted()).toEqual(Array.from({ length: calls - 1 }, (_, index) => pciOf(index)).toSorted())
    expect(second.filter(({ exitCode }) => exitCode !== 0)).toMatchObject([{ answer: { code: 100 } }])
    for (const pod of pods) host.del(pod, any)
  },
  manyCallsMs,
)
