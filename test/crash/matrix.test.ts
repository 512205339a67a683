/**
 * Every system call of the packaged IPAM that touches its data directory, killed and failed, one run for each: whatever
 * happens, no address is given twice and none is lost. BERTH_TEST_LONG=1 runs all of them, otherwise a sample of them runs
 * with one of every class; BERTH_TEST_SEED=… takes the same sample again.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { setLogLevel } from '../../shared/log.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { describeCase, judge } from './afterwards.ts'
import { copyDirectory, heldBy } from './directory.ts'
import { randomFrom, seed, shuffle } from './random.ts'
import { keptName, runOf, type Scenario, scenarios } from './scenarios.ts'
import { type Fault, faultsOf, injectInto, type Point, type Recorded, recordRun } from './strace.ts'

const long = process.env.BERTH_TEST_LONG === '1'
const sampleMax = 100
const triesMax = 10

const netnsName = `berth-matrix-${process.pid}`
beforeAll(() => {
  // What a fault makes the sources warn of is what this is about.
  setLogLevel('error')
  execFileSync('ip', ['netns', 'add', netnsName])
})
afterAll(() => {
  execFileSync('ip', ['netns', 'del', netnsName])
})

interface Planned {
  readonly scenario: Scenario
  readonly template: string
  readonly recorded: Recorded
  readonly index: number
  readonly fault: Fault
  readonly kept: readonly string[]
}

let made = 0

function recordCopy(directory: string, template: string, { call }: Scenario): Recorded {
  const dataDir = `${directory}/recording-${++made}`
  copyDirectory(template, dataDir)
  return recordRun(runOf(call, dataDir, `${directory}/trace`))
}

/** The calls of a scenario, and the faults that each may meet. */
async function plan(directory: string, scenario: Scenario): Promise<Planned[]> {
  const template = `${directory}/template-${++made}`
  mkdirSync(template, { mode: 0o700 })
  await scenario.prepare(template, `/run/netns/${netnsName}`)
  const recorded = recordCopy(directory, template, scenario)
  // Before the release it is its own, afterwards it is kept.
  const kept = [heldBy(template, keptName), heldBy(template, 'net-a,c1,net1')].find((names) => names.length > 0) ?? []
  return recorded.points.flatMap((point, index) =>
    faultsOf(point).map((fault) => ({ scenario, template, recorded, index, fault, kept })),
  )
}

const pointOf = ({ points }: Recorded, index: number): Point => {
  const point = points[index]
  if (point === undefined) throw new Error(`there is no call ${index}`)
  return point
}

/** Of a shuffled list: one of every class, and then as many as there shall be. */
function sample(planned: readonly Planned[]): Planned[] {
  const random = randomFrom(seed)
  const shuffled = shuffle(planned, random)
  const classOf = ({ scenario, recorded, index, fault }: Planned): string =>
    `${scenario.call.verb} ${pointOf(recorded, index).syscall} ${fault.replace('+', '')}`
  const first = [...new Map(shuffled.map((one) => [classOf(one), one])).values()]
  return [...first, ...shuffled.filter((one) => !first.includes(one))].slice(0, Math.max(first.length, sampleMax))
}

async function run(directory: string, { template, ...planned }: Planned): Promise<string[]> {
  const { scenario, index, fault, kept } = planned
  const place = `${directory}/case`
  const dataDir = `${place}/data`
  let recorded = planned.recorded
  for (let tries = 0; tries < triesMax; tries++) {
    rmSync(place, { recursive: true, force: true })
    mkdirSync(place)
    copyDirectory(template, dataDir)
    const point = pointOf(recorded, index)
    const outcome = injectInto(runOf(scenario.call, dataDir, `${place}/trace`), point, fault, recorded)
    if (outcome !== undefined) {
      const one = { scenario, point, fault, outcome, dataDir, kept }
      return (await judge(one)).map((what) => `${describeCase(one)}: ${what}`)
    }
    recorded = recordCopy(directory, template, scenario)
  }
  return [`${describeCase({ scenario, point: pointOf(recorded, index), fault })}: not hit in ${triesMax} tries`]
}

test('the IPAM holds what it answered and loses nothing when any of its system calls is killed or fails', {
  timeout: long ? 1_800_000 : 60_000,
}, async () => {
  const directory = temporaryDirectory()
  const planned: Planned[] = []
  for (const scenario of scenarios) planned.push(...(await plan(directory, scenario)))
  const chosen = long ? planned : sample(planned)
  const wrong: string[] = []
  const start = performance.now()
  for (const one of chosen) wrong.push(...(await run(directory, one)))
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  process.stdout.write(
    `matrix: ${chosen.length} of ${planned.length} faults in ${scenarios.length} scenarios, seed ${seed}, ` +
      `${seconds} s: ${wrong.length} violations\n`,
  )
  expect(wrong).toEqual([])
})
