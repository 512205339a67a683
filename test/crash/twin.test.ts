/**
 * Random operations on the IPAM and on a model of it: they never disagree. BERTH_TEST_LONG=1 does more than 100 000 of them;
 * BERTH_TEST_SEED=… does the same ones again.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { setLogLevel } from '../../shared/log.ts'
import type { ClaimWish, Operation } from './operations.ts'
import { plans } from './plans.ts'
import { seed } from './random.ts'
import { Twin } from './twin.ts'

const long = process.env.BERTH_TEST_LONG === '1'
const operationsMin = long ? 100_000 : 3000
const sequenceMax = 400
const compareEvery = 10
/** Ten sequences take some seconds at most; looking for a shorter one that fails too shall end. */
const shrinkMaxMs = 150_000

const index = (count: number): fc.Arbitrary<number> => fc.nat({ max: count - 1 })
const which = { plan: index(plans.length), who: index(5) }
const wish: fc.Arbitrary<ClaimWish> = fc.record({ ...which, ask: index(9), anew: fc.boolean() })
const day = 86_400

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 40, arbitrary: fc.record({ do: fc.constant('claim' as const), wishes: fc.tuple(wish) }) },
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('claim' as const),
      wishes: fc.array(wish, { minLength: 2, maxLength: 5, size: 'max' }),
    }),
  },
  { weight: 35, arbitrary: fc.record({ do: fc.constant('release' as const), ...which }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('die' as const), ...which }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('cut' as const), ...which }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('replace' as const), ...which }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('collect' as const), plan: which.plan }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('sweep' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reboot' as const) }) },
  { weight: 25, arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.nat({ max: 20 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.constantFrom(-day, day, 60, 121, 3600) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('corrupt' as const), order: index(8), how: fc.nat({ max: 100_000 }) }),
  },
)

/** In memory where there is some: the twin is about what is decided, not about disks. */
const place = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

test('the IPAM decides as its model does when operations come at random', { timeout: 900_000 }, () => {
  setLogLevel('error')
  let [operations, early, sequences] = [0, 0, 0]
  const start = performance.now()
  const run = (list: readonly Operation[]): void => {
    const directory = mkdtempSync(`${place}/berth-twin-`)
    const twin = new Twin(directory)
    try {
      list.forEach((one, position) => {
        twin.apply(one)
        if (position % compareEvery === 0 || position === list.length - 1) twin.compare()
      })
      operations += list.length
      early += twin.early
      sequences++
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }
  const sequence = fc.array(operation, { maxLength: sequenceMax, size: 'max' })
  // One check after another until there are enough: how long the sequences are is left to chance.
  for (let round = 0; operations < operationsMin; round++) {
    fc.assert(fc.property(sequence, run), {
      seed: seed + round * 1_000_003,
      numRuns: 10,
      interruptAfterTimeLimit: shrinkMaxMs,
      markInterruptAsFailure: true,
    })
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  process.stdout.write(
    `twin: ${operations} operations in ${sequences} sequences, seed ${seed}, ${seconds} s: no disagreement; ` +
      `${early} addresses given before they had rested, where an order had an older entry of theirs\n`,
  )
  expect(operations).toBeGreaterThanOrEqual(operationsMin)
})
