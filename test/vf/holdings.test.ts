import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { parseHolding, renderHolding } from '../../vf/holding.ts'
import { Holdings } from '../../vf/holdings.ts'
import { failureOf } from '../shared/failures.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { address, holdingOf } from './sample.ts'

let dataDir: string
let holdings: Holdings

beforeEach(() => {
  dataDir = temporaryDirectory()
  holdings = new Holdings(dataDir, () => false)
})

describe('parseHolding()', () => {
  it('reads back what was rendered', () => {
    const { netdev: _, pf: __, ...least } = holdingOf({ before: {}, set: {} })
    for (const holding of [holdingOf(), least, holdingOf({ deviceInfo: '/run/info.json' })]) {
      expect(parseHolding(renderHolding(holding))).toEqual(holding)
    }
  })

  it('knows no holding in which one byte is another, or that is cut', () => {
    const text = renderHolding(holdingOf())
    for (let at = 0; at < text.length; at++) {
      const other = text[at] === 'x' ? 'y' : 'x'
      expect(parseHolding(text.slice(0, at) + other + text.slice(at + 1))).toBeUndefined()
      expect(parseHolding(text.slice(0, at))).toBeUndefined()
    }
  })

  it('knows no holding of another format, or with more in it', () => {
    expect(parseHolding(renderHolding({ ...holdingOf(), format: 2 as 1 }))).toBeUndefined()
    expect(parseHolding(renderHolding({ ...holdingOf(), more: 1 } as never))).toBeUndefined()
  })
})

describe('Holdings', () => {
  it('lets one of many calls have a VF, and shows who', async () => {
    const wishes = Array.from({ length: 8 }, (_, number) => holdingOf({ containerId: `ctr-${number}` }))
    const won = await Promise.all(wishes.map((wish) => holdings.create(wish)))
    expect(won.filter((one) => one)).toHaveLength(1)
    expect(holdings.find(address)).toEqual(wishes[won.indexOf(true)])
    expect(readdirSync(`${dataDir}/vf`)).toEqual([address])
    expect(readFileSync(`${dataDir}/vf/${address}`, 'utf8')).toMatch(/^\{"format":1,"address":"0000:77:02.1",.*\}\n$/)
  })

  it('is empty where nothing was ever held, and makes nothing by looking', () => {
    expect(holdings.find(address)).toBeUndefined()
    expect(holdings.list()).toEqual({ holdings: [], damaged: [] })
    holdings.removeLeftOvers(0)
    expect(existsSync(`${dataDir}/vf`)).toBe(false)
  })

  it('puts a holding in the place of the same one, and removes it', async () => {
    await holdings.create(holdingOf())
    holdings.replace(holdingOf({ deviceInfo: '/run/x' }))
    expect(holdings.list().holdings).toEqual([holdingOf({ deviceInfo: '/run/x' })])
    holdings.remove(holdingOf())
    expect(holdings.list().holdings).toEqual([])
    expect(await holdings.create(holdingOf())).toBe(true)
  })

  it('names a damaged file, which keeps the VF from everybody', async () => {
    await holdings.create(holdingOf())
    writeFileSync(`${dataDir}/vf/${address}`, 'rubbish')
    expect(failureOf(() => holdings.find(address))).toMatchObject({
      errorName: 'ERR_DAMAGED',
      message: `Cannot read "${dataDir}/vf/${address}": not a whole holding`,
    })
    expect(holdings.list()).toEqual({ holdings: [], damaged: [`${dataDir}/vf/${address}`] })
    expect(await holdings.create(holdingOf())).toBe(false)
  })

  it('says what cannot be written', async () => {
    writeFileSync(`${dataDir}/vf`, '')
    await expect(holdings.create(holdingOf())).rejects.toMatchObject({
      errorName: 'ERR_IO',
      message: expect.stringMatching(/^Cannot write ".*\/vf\/0000:77:02\.1": /),
    })
  })

  it('sees the VFs of its own node only when nodes share the directory', async () => {
    const shared = new Holdings(dataDir, () => true)
    await shared.create(holdingOf())
    const [name = ''] = readdirSync(`${dataDir}/vf`)
    expect(name.startsWith(`${address},`)).toBe(true)
    writeFileSync(`${dataDir}/vf/${address},another-node`, 'not ours to read')
    expect(shared.list()).toEqual({ holdings: [holdingOf()], damaged: [] })
    expect(shared.find(address)).toEqual(holdingOf())
  })

  it('removes what killed calls were writing, once nobody can be writing it', () => {
    mkdirSync(`${dataDir}/vf`)
    for (const name of ['.new,old', '.new,young', '.looks']) writeFileSync(`${dataDir}/vf/${name}`, '')
    const nowMs = Date.now()
    for (const name of ['.new,old', '.looks']) utimesSync(`${dataDir}/vf/${name}`, 0, (nowMs - 3_600_000) / 1000)
    holdings.removeLeftOvers(nowMs)
    expect(readdirSync(`${dataDir}/vf`).sort()).toEqual(['.looks', '.new,young'])
  })
})
