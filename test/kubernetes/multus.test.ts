/** Our packaged plugins under real Multus and a real API server: every case in every column, and the table of them at the end. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { buildPrograms } from './build.ts'
import { devices } from './cases/devices.ts'
import { networks } from './cases/networks.ts'
import { removal } from './cases/removal.ts'
import { requests } from './cases/requests.ts'
import type { Multus } from './multus.ts'
import { Rig } from './rig.ts'
import { columns, nameOf, Table } from './table.ts'

const cases = [...networks, ...requests, ...devices, ...removal]

const programs = buildPrograms()
const missing = 'missing' in programs ? programs.missing : undefined
if (missing !== undefined) process.stderr.write(`SKIPPED: the tests with Kubernetes and Multus: ${missing}\n`)
const skipped = missing === undefined ? '' : ` (SKIPPED: ${missing})`

const table = new Table()
const before = performance.now()
let rig: Rig

beforeAll(() => {
  if ('missing' in programs) return
  rig = new Rig(programs)
})

afterAll(() => {
  if (missing !== undefined) return
  rig?.[Symbol.dispose]()
  const seconds = ((performance.now() - before) / 1000).toFixed(0)
  process.stdout.write(`\n${table}\n${cases.length} cases in ${columns.length} columns: ${seconds} s\n`)
})

describe.skipIf(missing !== undefined).each(columns)(`Multus, %o${skipped}`, (column) => {
  let multus: Multus
  let agent: Disposable

  beforeAll(() => {
    multus = rig.multus(column.multus)
    agent = rig.open(column.door)
  })

  afterAll(() => {
    const answered = rig.answeredByAgent()
    table.note('calls that the agent answered', column, `${answered}`)
    if (column.door === 'agent') expect(answered).toBeGreaterThan(cases.length)
    agent?.[Symbol.dispose]()
    multus?.[Symbol.dispose]()
  })

  afterEach(() => {
    const left = rig.leftovers()
    if (left.length > 0) rig.clear()
    expect(left).toEqual([])
  })

  test.each(cases)(`$title (${nameOf(column)})`, ({ title, run }) => {
    const since = performance.now()
    table.note(title, column, 'FAILED')
    try {
      run(rig, column)
    } catch (error) {
      process.stderr.write(`${multus.log()}\n`)
      throw error
    }
    table.note(title, column, `${((performance.now() - since) / 1000).toFixed(1)} s`)
  })
})
