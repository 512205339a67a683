import { beforeEach, describe, expect, it } from 'vitest'
import { Holdings } from '../../vf/index.ts'
import { address, holdingOf } from '../vf/sample.ts'
import { berth, dataDir, ownNetns } from './berth.ts'

let holdings: Holdings

beforeEach(() => {
  holdings = new Holdings(dataDir, () => false)
})

describe('berth vf release', () => {
  it('gives back what has no pod any more, once', async () => {
    await holdings.create(holdingOf())
    expect(await berth(['vf', 'release', address])).toMatchObject({
      stdout: `released ${address} of "ctr-1/net1" of network "storage"\n`,
      exitCode: 0,
    })
    expect(holdings.list().holdings).toEqual([])
    expect(await berth(['vf', 'release', address])).toMatchObject({
      stderr: expect.stringContaining(`Cannot release "${address}": nobody holds it`),
      exitCode: 1,
    })
  })

  it('takes it from a pod only by force, and knows a PCI address', async () => {
    await holdings.create(holdingOf({ netns: ownNetns() }))
    expect(await berth(['vf', 'release', address])).toMatchObject({
      stderr: expect.stringContaining('--force takes it away all the same'),
      exitCode: 1,
    })
    expect(holdings.list().holdings).toHaveLength(1)
    expect((await berth(['vf', 'release', address, '--force'])).exitCode).toBe(0)
    expect(holdings.list().holdings).toEqual([])
    expect((await berth(['vf', 'release', 'eth0'])).exitCode).toBe(2)
  })
})
