import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { Sweeper, type SweeperOptions } from '../../agent/sweeper.ts'
import type { SweepTotals } from '../../agent/watch.ts'
import { temporaryDirectory } from '../shared/temporary.ts'

const totals: SweepTotals = { released: 0, waiting: 0, expired: 0, leftOver: 0, damaged: 0 }

let sweeper: Sweeper | undefined
afterEach(async () => {
  await sweeper?.stop()
})

/** Starts one whose sweeps do what `sweep` says; returns what it heard of them. */
function start(sweep: SweeperOptions['sweep'], more: Partial<SweeperOptions> = {}): (SweepTotals | undefined)[] {
  const heard: (SweepTotals | undefined)[] = []
  const onSwept = (one: SweepTotals | undefined): void => void heard.push(one)
  sweeper = new Sweeper({ everyMs: 100, graceMs: 100, directories: [], sweep, onSwept, ...more })
  sweeper.start()
  return heard
}

async function until(is: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 10_000; !is(); await pause(10)) if (Date.now() > deadline) throw new Error('never')
}

test('Sweeper sweeps again and again, and one sweep after the other', async () => {
  let [now, most] = [0, 0]
  const heard = start(async () => {
    most = Math.max(most, ++now)
    await pause(150)
    now--
    return totals
  })
  await until(() => heard.length >= 4)
  expect(most).toBe(1)
})

test('Sweeper goes on after a sweep that failed', async () => {
  let tries = 0
  const heard = start(async () => {
    if (++tries < 3) throw new Error('no disk')
    return totals
  })
  await until(() => heard.length >= 3)
  expect(heard.slice(0, 3)).toEqual([undefined, undefined, totals])
})

test('Sweeper comes soon after a name has gone from a directory, and not for one that came', async () => {
  const directory = temporaryDirectory()
  writeFileSync(`${directory}/pod`, '')
  const heard = start(async () => totals, { everyMs: 60_000, directories: ['/nowhere', directory, `${directory}/.`] })
  writeFileSync(`${directory}/other`, '')
  await pause(1500)
  expect(heard).toEqual([])
  for (const name of ['pod', 'other']) rmSync(`${directory}/${name}`)
  await until(() => heard.length === 1)
  // However many vanish, the next one is ten seconds away.
  writeFileSync(`${directory}/pod`, '')
  rmSync(`${directory}/pod`)
  await pause(2000)
  expect(heard.length).toBe(1)
})

test('Sweeper finds a directory that comes later, or comes again', async () => {
  const directory = `${temporaryDirectory()}/netns`
  let sweeps = 0
  start(async () => ({ ...totals, released: ++sweeps }), { everyMs: 300, directories: [directory] })
  for (let round = 0; round < 2; round++) {
    mkdirSync(directory)
    const before = sweeps
    await until(() => sweeps > before)
    rmSync(directory, { recursive: true })
  }
})

test('Sweeper looks again after the grace period at what it saw gone', async () => {
  const times: number[] = []
  const sweep = async () => {
    times.push(Date.now())
    return { ...totals, waiting: 1 }
  }
  start(sweep, { everyMs: 2000, graceMs: 100 })
  await until(() => times.length === 2)
  expect((times[1] ?? 0) - (times[0] ?? 0)).toBeLessThan(2500)
})

test('Sweeper ends its sweep when it is told to end, and begins no other', async () => {
  let [begun, ended] = [0, 0]
  const heard = start(async (signal) => {
    begun++
    await pause(60_000, undefined, { signal }).finally(() => ended++)
    return totals
  })
  await until(() => begun === 1)
  await sweeper?.stop()
  await pause(300)
  expect([begun, ended, heard]).toEqual([1, 1, []])
})
