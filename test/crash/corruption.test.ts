/**
 * Every file of a store with a flipped bit, and cut short at every length: what is in use is never given again, what is damaged
 * is named, and a DEL of everything leaves nothing. BERTH_TEST_LONG=1 flips every bit, otherwise some are flipped.
 */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename } from 'node:path'
import { expect, test } from 'vitest'
import { type Claim, claimTogether, releaseAddresses } from '../../ipam/claim.ts'
import { FileStore } from '../../ipam/ledger/file-store.ts'
import { attachmentName } from '../../ipam/ledger/names.ts'
import { emptyPlan, type Plan } from '../../ipam/plan.ts'
import { sweep } from '../../ipam/sweep.ts'
import { setLogLevel } from '../../shared/log.ts'
import { planOf, rangeOf } from '../ipam/plans.ts'
import { copyDirectory, filesOf, namesOf } from './directory.ts'
import { below, randomFrom, seed, shuffle } from './random.ts'

const long = process.env.BERTH_TEST_LONG === '1'
const flipsMax = long ? Number.POSITIVE_INFINITY : 80
const cutsMax = long ? Number.POSITIVE_INFINITY : 20
const place = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** A fresh range each time: one of the helper complains when it is looked at often. */
const single = (): Plan =>
  planOf([rangeOf('10.0.0.0/28', { start: '10.0.0.2', end: '10.0.0.12', gateway: '10.0.0.1', excluded: ['10.0.0.5'] })])
const mayGive = [2, 3, 4, 6, 7, 8, 9, 10, 11, 12].map((last) => `10.0.0.${last}`)
const dayMs = 86_400_000
const nowMs = Date.UTC(2026, 0, 2)
const node = { host: 'node-1', bootId: 'boot-1' }
const inUse = { node, graceMs: 60_000, inUse: () => true }

const keyOf = (containerId: string) => ({ network: 'net-a', containerId, ifName: 'net1' })
const attached = ['one', 'two', 'three', 'solo', 'bare', 'pod']
const pod = { namespace: 'shop', name: 'web-0' }

interface Scene {
  readonly dataDir: string
  readonly netns: NonNullable<Claim['netns']>
}

function claim({ dataDir, netns }: Scene, ids: readonly string[], plan: Plan, more: Partial<Claim> = {}): string[] {
  const common = { plan, requested: [], node, netns, now: new Date(nowMs), ...more }
  const outcomes = claimTogether(
    new FileStore(dataDir),
    ids.map((id) => ({ ...common, key: keyOf(id) })),
  )
  return outcomes.flatMap((outcome) => {
    if ('error' in outcome) throw outcome.error
    return outcome.record.leases.map(({ address }) => address.split('/')[0] ?? '')
  })
}

/** Three written together, one alone with two families, one without addresses, and two of a pod of which one is kept. */
function prepare(directory: string): Scene {
  const dataDir = `${directory}/data`
  mkdirSync(dataDir)
  const path = `${directory}/netns`
  writeFileSync(path, '')
  const { dev, ino } = statSync(path)
  const scene = { dataDir, netns: { path, dev, ino } }
  const sticky = { ...single(), keepMs: 3_600_000 }
  claim(scene, ['one', 'two', 'three'], single())
  claim(scene, ['solo'], planOf([...single().rangeSets.flat(), rangeOf('fd00::/125')]))
  claim(scene, ['bare'], emptyPlan)
  claim(scene, ['left'], sticky, { pod })
  releaseAddresses(new FileStore(dataDir), keyOf('left'), new Date(nowMs))
  claim(scene, ['pod'], sticky, { pod: { ...pod, name: 'web-1' } })
  new FileStore(dataDir).setFirstLooks(node.host, new Map([['net-a one net1 2026', nowMs]]))
  return scene
}

interface Damage {
  readonly file: string
  readonly what: string
  readonly bytes: Buffer
}

/** One name of every file. */
function filesOnce(dataDir: string): string[] {
  const seen = new Set<number>()
  return filesOf(dataDir).filter((path) => {
    const { ino } = lstatSync(path)
    return !seen.has(ino) && seen.add(ino)
  })
}

/** How much of a file says something: the journal ends in half a megabyte of empty lines. */
const usedBytes = (bytes: Buffer): number => Math.min(bytes.length, bytes.toString('latin1').trimEnd().length + 2)

function* flips(file: string): Generator<Damage> {
  const bytes = readFileSync(file)
  for (let bit = 0; bit < usedBytes(bytes) * 8; bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    yield { file, what: `bit ${bit & 7} of byte ${bit >> 3}`, bytes: flipped }
  }
}

function* cuts(file: string): Generator<Damage> {
  const bytes = readFileSync(file)
  for (let length = 0; length < usedBytes(bytes); length++) {
    yield { file, what: `cut to ${length} bytes`, bytes: bytes.subarray(0, length) }
  }
}

const held = (dataDir: string): string[] =>
  namesOf(dataDir).flatMap(({ name }) => (name.startsWith('10.') ? [name] : []))

/** Claims until nothing is left, and says what should not have been given. */
function giveAll(scene: Scene, before: readonly string[]): string[] {
  const given: string[] = []
  try {
    for (let count = 0; count <= mayGive.length; count++) given.push(...claim(scene, [`new-${count}`], single()))
  } catch {
    // Exhausted.
  }
  const wrong = given.filter((address) => before.includes(address) || !mayGive.includes(address))
  const missing = mayGive.filter((address) => !before.includes(address) && !given.includes(address))
  return [...wrong.map((address) => `gave ${address}`), ...missing.map((address) => `did not give ${address}`)]
}

/** A DEL of everything that was attached, and what is left of it. */
function detachAll({ dataDir }: Scene): string[] {
  const store = new FileStore(dataDir)
  const damaged = store.list().damaged.filter((name) => !name.startsWith('~'))
  for (const id of attached) releaseAddresses(store, keyOf(id), new Date(nowMs))
  for (let count = 0; count <= mayGive.length; count++) releaseAddresses(store, keyOf(`new-${count}`), new Date(nowMs))
  const aside = existsSync(`${dataDir}/damaged`) ? readdirSync(`${dataDir}/damaged`) : []
  return damaged.filter((name) => !aside.includes(name)).map((name) => `"${name}" does not lie in damaged/`)
}

function judge(scene: Scene, file: string): string[] {
  const { dataDir } = scene
  const store = new FileStore(dataDir)
  const isRecord = file.includes('/leases/')
  const named =
    isRecord && (store.list().damaged.length === 0 || !store.inspect().some(({ kind }) => kind === 'damaged'))
  const before = held(dataDir)
  const wrong = [...(named ? ['nobody says that it is damaged'] : []), ...giveAll(scene, before), ...detachAll(scene)]
  // What is kept is given up when its pod comes and goes once more, and its time is over.
  claim(scene, ['again'], { ...single(), keepMs: 1000 }, { pod })
  releaseAddresses(store, keyOf('again'), new Date(nowMs))
  sweep(store, { ...inUse, nowMs: nowMs + 2 * dayMs })
  return [...wrong, ...readdirSync(`${dataDir}/leases`).map((name) => `left "${name}"`)]
}

function run(directory: string, { netns, dataDir: template }: Scene, { file, what, bytes }: Damage): string[] {
  const dataDir = `${directory}/case`
  copyDirectory(template, dataDir)
  try {
    const path = file.replace(template, dataDir)
    // In place: every name of the file shows it.
    writeFileSync(path, bytes)
    return judge({ netns, dataDir }, path).map((why) => `${basename(file)}, ${what}: ${why}`)
  } catch (error) {
    return [`${basename(file)}, ${what}: ${error instanceof Error ? error.message : String(error)}`]
  } finally {
    rmSync(dataDir, { recursive: true, force: true })
  }
}

test('the IPAM gives nothing twice and releases everything when a file of its store is damaged', {
  timeout: long ? 1_800_000 : 240_000,
}, () => {
  setLogLevel('error')
  const directory = mkdtempSync(`${place}/berth-corruption-`)
  const start = performance.now()
  try {
    const scene = prepare(directory)
    expect(attached.map((id) => existsSync(`${scene.dataDir}/leases/${attachmentName(keyOf(id))}`))).not.toContain(
      false,
    )
    const random = randomFrom(seed)
    const files = filesOnce(scene.dataDir)
    const some = (all: Damage[], max: number): Damage[] => (max < all.length ? shuffle(all, random).slice(0, max) : all)
    const allFlips = files.flatMap((file) => [...flips(file)])
    const allCuts = files.flatMap((file) => [...cuts(file)])
    const noise = files.map((file) => ({
      file,
      what: 'noise',
      bytes: Buffer.from([0, 10, 255, 123, below(256, random)]),
    }))
    const damages = [...some(allFlips, flipsMax), ...some(allCuts, cutsMax), ...noise]
    const wrong = damages.flatMap((damage) => run(directory, scene, damage))
    const seconds = ((performance.now() - start) / 1000).toFixed(1)
    process.stdout.write(
      `corruption: ${Math.min(flipsMax, allFlips.length)} of ${allFlips.length} bits flipped and ` +
        `${Math.min(cutsMax, allCuts.length)} of ${allCuts.length} lengths cut in ${files.length} files, seed ${seed}, ` +
        `${seconds} s: ${wrong.length} violations\n`,
    )
    expect(wrong).toEqual([])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
