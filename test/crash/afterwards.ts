/** What must hold in a data directory after a call was killed or failed, and whatever a runtime does next. */
import { existsSync } from 'node:fs'
import { sweepLeases } from '../../ipam/admin.ts'
import { type Finding, openStore } from '../../ipam/index.ts'
import { copyDirectory, heldBy, namesOf, namesOfContainer, strayAddresses } from './directory.ts'
import {
  add,
  addressesOf,
  addressesOfRange,
  attachmentOf,
  bystander,
  call,
  imported,
  importedMore,
  keptName,
  type Scenario,
} from './scenarios.ts'
import { type Fault, type Outcome, type Point, takesSpace } from './strace.ts'

export interface Case {
  readonly scenario: Scenario
  readonly point: Point
  readonly fault: Fault
  readonly outcome: Outcome
  readonly dataDir: string
  /** What the pod had before, when it shall get it back. */
  readonly kept: readonly string[]
}

export const describeCase = ({ scenario, point, fault }: Pick<Case, 'scenario' | 'point' | 'fault'>): string =>
  `${scenario.name}: ${fault} at ${point.syscall} ${point.nth} (${point.what.slice(0, 150)})`

const same = (a: readonly string[], b: readonly string[]): boolean => [...a].sort().join() === [...b].sort().join()

/** What is wrong; nothing, where all is well. */
type Wrong = string[]
const unless = (holds: boolean, what: string): Wrong => (holds ? [] : [what])

const containerOf = ({ scenario }: Case): string => scenario.call.containerId
const hasBystander = ({ scenario }: Case): boolean => scenario.name !== 'ADD, the first of all'

/** A finding that a call that was cut short explains: of its own attachment, or of what is kept for the pod. */
function isExplained({ scenario }: Case, { kind, name }: Finding): boolean {
  if (kind === 'left over') return true
  if (kind === 'damaged') return scenario.name === 'DEL of a damaged record' && !name.includes(bystander)
  return kind === 'incomplete' && !name.includes(bystander)
}

function checkState(one: Case, dataDir: string, isHealed: boolean): Wrong {
  const findings = openStore(dataDir).inspect()
  const wrong = isHealed ? findings : findings.filter((finding) => !isExplained(one, finding))
  const damaged = one.scenario.name === 'DEL of a damaged record'
  return [
    ...wrong.map(({ name, kind, what }) => `inspect: ${kind} "${name}": ${what}`),
    ...(damaged && !isHealed ? [] : strayAddresses(dataDir)),
    ...unless(
      !hasBystander(one) || heldBy(dataDir, attachmentOf(bystander)).length === 2,
      'the bystander lost an address',
    ),
  ]
}

/** Whatever becomes of an import, what was imported before stays held. */
const checkImported = (dataDir: string): Wrong =>
  unless(
    namesOf(dataDir).some(({ name }) => name === imported),
    `"${imported}" is free`,
  )

function checkError(stdout: string): Wrong {
  let error: { code?: unknown; msg?: unknown } = {}
  try {
    error = JSON.parse(stdout)
  } catch {
    return [`no CNI error: ${JSON.stringify(stdout)}`]
  }
  const { code, msg } = error
  const isWhole = typeof code === 'number' && code < 900 && typeof msg === 'string' && /["'].+["']/.test(msg)
  return unless(isWhole, `an error that does not say what: ${stdout}`)
}

/** Only what needs room may fail for want of it, and a release does not. */
const mustSucceed = ({ scenario, point, fault }: Case): boolean =>
  fault === 'EINTR' || (scenario.call.verb === 'DEL' && fault.startsWith('ENOSPC') && takesSpace(point))

function checkAnswer(one: Case): Wrong {
  const { outcome, scenario, dataDir } = one
  if (outcome.exitCode === null) return []
  if (scenario.call.verb === 'import') {
    if (outcome.exitCode !== 0) return unless(outcome.stderr !== '', 'it failed and says nothing')
    return unless(isImported(one, dataDir), 'the import succeeded and has not all')
  }
  if (outcome.exitCode !== 0) {
    return [...checkError(outcome.stdout), ...unless(!mustSucceed(one), `it failed: ${outcome.stdout}`)]
  }
  if (scenario.call.verb === 'ADD') {
    const held = heldBy(dataDir, attachmentOf(containerOf(one)))
    return unless(same(addressesOf(outcome.stdout), held), `answered ${outcome.stdout}, and holds ${held}`)
  }
  if (scenario.call.verb === 'DEL') return checkGone(one, dataDir)
  return unless(!fillsUp(dataDir), 'GC succeeded and released nothing')
}

const isImported = (one: Case, dataDir: string): boolean =>
  same(heldBy(dataDir, attachmentOf(containerOf(one))), [imported, importedMore])

const fillsUp = (dataDir: string): boolean => heldBy(dataDir, attachmentOf('c1')).length > 0

function checkGone(one: Case, dataDir: string): Wrong {
  const names = namesOfContainer(dataDir, containerOf(one))
  return unless(names.length === 0, `the DEL left ${names}`)
}

/** Every address that nobody has can be given, and is given once. */
async function checkFill(dataDir: string): Promise<Wrong> {
  const held = [bystander, 'c1', 'c2', 'next'].map((id) => heldBy(dataDir, attachmentOf(id)))
  const given = new Set([...held, heldBy(dataDir, keptName)].flat().filter((name) => !name.includes(':')))
  const wrong: Wrong = []
  for (let count = 0; given.size < addressesOfRange; count++) {
    const { exitCode, stdout } = await call(dataDir, { verb: 'ADD', containerId: `fill-${count}` })
    const [address = ''] = exitCode === 0 ? addressesOf(stdout) : []
    if (exitCode !== 0 || given.has(address)) return [`the range is not whole: ${stdout}, given ${[...given]}`]
    given.add(address)
  }
  const { exitCode } = await call(dataDir, { verb: 'ADD', containerId: 'too-many' })
  return [...wrong, ...unless(exitCode === 1, 'more addresses than the range has')]
}

/** The runtime gives up: DEL, and another pod comes. */
async function checkDel(one: Case, dataDir: string): Promise<Wrong> {
  const { sticky = false, verb } = one.scenario.call
  if (verb === 'GC') return []
  const { exitCode, stdout } = await call(dataDir, { verb: 'DEL', containerId: containerOf(one), sticky })
  const gone = [...unless(exitCode === 0, `the DEL failed: ${stdout}`), ...checkGone(one, dataDir)]
  await call(dataDir, { verb: 'GC', containerId: '' })
  sweepLeases(openStore(dataDir), 0, false)
  const state = checkState(one, dataDir, true)
  const another = await add(dataDir, { containerId: 'next' })
  if (!sticky || one.fault.startsWith('ENOSPC')) return [...gone, ...state, ...(await checkFill(dataDir))]
  const back = await add(dataDir, { containerId: 'c3', sticky })
  const isBack = unless(
    same(back, one.kept),
    `the pod had ${one.kept}, and gets ${back} after another pod got ${another}`,
  )
  return [...gone, ...state, ...isBack]
}

/** The runtime tries again. */
async function checkAgain(one: Case, dataDir: string): Promise<Wrong> {
  const { scenario, outcome } = one
  const { exitCode, stdout } = await call(dataDir, scenario.call)
  const done = unless(exitCode === 0, `the retry failed: ${stdout}`)
  if (scenario.call.verb === 'import') {
    const all = unless(isImported(one, dataDir), 'the retry has not imported all')
    return [...done, ...all, ...checkState(one, dataDir, false), ...(await checkDel(one, dataDir))]
  }
  if (scenario.call.verb !== 'ADD' || exitCode !== 0) return [...done, ...checkState(one, dataDir, false)]
  const [first, held] = [addressesOf(stdout), heldBy(dataDir, attachmentOf(containerOf(one)))]
  const before = outcome.exitCode === 0 ? addressesOf(outcome.stdout) : first
  return [
    ...checkState(one, dataDir, false),
    ...unless(same(first, held), `the retry answered ${first}, and holds ${held}`),
    ...unless(same(first, before), `the first answer was ${before}, the second ${first}`),
    ...(await checkDel(one, dataDir)),
  ]
}

/** Nobody comes back for it: GC and sweep find what is left. */
async function checkSweep(one: Case, dataDir: string): Promise<Wrong> {
  const { exitCode, stdout } = await call(dataDir, { verb: 'GC', containerId: '' })
  sweepLeases(openStore(dataDir), 0, false)
  const failed = unless(exitCode === 0, `the GC failed: ${stdout}`)
  if (one.scenario.name === 'DEL of a damaged record') return failed
  const left = ['c1', 'c2'].flatMap((id) => namesOfContainer(dataDir, id))
  const leases = left.filter((name) => !heldBy(dataDir, keptName).includes(name.replace('leases/', '')))
  return [
    ...failed,
    ...unless(leases.length === 0, `GC left ${leases}`),
    ...checkState(one, dataDir, true),
    ...(await checkFill(dataDir)),
  ]
}

/** Everything that is wrong after this case; nothing, where all is well. */
export async function judge(one: Case): Promise<Wrong> {
  const wrong = [...checkState(one, one.dataDir, false), ...checkAnswer(one)]
  if (one.scenario.call.verb === 'import') wrong.push(...checkImported(one.dataDir))
  for (const [name, check] of Object.entries({ DEL: checkDel, again: checkAgain, sweep: checkSweep })) {
    const copy = `${one.dataDir}-${name}`
    if (existsSync(one.dataDir)) copyDirectory(one.dataDir, copy)
    wrong.push(...(await check(one, copy)).map((what) => `${name}: ${what}`))
  }
  return wrong
}
