/**
 * The designs of a store that docs/decisions/002-store.md weighs, each reduced to its system calls, interleaved: what a durable claim
 * costs, and what a process that starts for one call pays to find one lease among many.
 *
 * Run by hand: `node bench/designs.ts`.
 */
import {
  closeSync,
  constants,
  fdatasyncSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { renderTables, Samples } from './measure.ts'

const line = `${JSON.stringify({ network: 'n', containerId: 'c'.repeat(64), ifName: 'net1', filler: 'x'.repeat(300) })}\n`
const journalMaxBytes = 64 * 1024 * 1024
const rounds = 300

const directory = mkdtempSync(join(tmpdir(), 'berth-designs-'))
const folder = openSync(directory, constants.O_RDONLY)
let made = 0

function createFile(name: string, records: number): number {
  const fd = openSync(join(directory, name), 'wx')
  writeSync(fd, line.repeat(records))
  return fd
}

/** A synced file of all records, then two exclusive names for each, then the directory. */
function files(claims: number): void {
  const first = made
  const fd = createFile(`.new${first}`, claims)
  fdatasyncSync(fd)
  closeSync(fd)
  for (; made < first + claims; made++) {
    for (const name of ['key', 'address']) linkSync(join(directory, `.new${first}`), join(directory, `${name}${made}`))
  }
  fsyncSync(folder)
  unlinkSync(join(directory, `.new${first}`))
}

const journal = openSync(join(directory, 'journal'), 'a')
const preallocated = openSync(join(directory, 'preallocated'), 'w')
writeSync(preallocated, Buffer.alloc(journalMaxBytes))
fsyncSync(preallocated)
let position = 0

function append(claims: number): void {
  writeSync(journal, line.repeat(claims))
  fdatasyncSync(journal)
}

function overwrite(claims: number): void {
  const bytes = writeSync(preallocated, line.repeat(claims), position % (journalMaxBytes / 2))
  position += bytes
  fdatasyncSync(preallocated)
}

/** The journal makes it durable, and unsynced names make it exclusive and easy to find. */
function overwriteAndName(claims: number): void {
  overwrite(claims)
  for (let index = 0; index < claims; index++, made++) {
    closeSync(createFile(`key${made}`, 1))
    linkSync(join(directory, `key${made}`), join(directory, `address${made}`))
  }
}

function measureClaims(samples: Samples): void {
  const designs = {
    files,
    'journal, appended': append,
    'journal, preallocated': overwrite,
    'journal and names': overwriteAndName,
  }
  for (let round = 0; round < rounds; round++) {
    for (const claims of [1, 8]) {
      for (const [name, design] of Object.entries(designs)) {
        samples.time(`${name}, ${claims} together`, () => design(claims))
      }
    }
  }
}

function measureColdLookUps(samples: Samples, leases: number): void {
  const cold = join(directory, `cold${leases}`)
  mkdirSync(cold)
  for (let index = 0; index < leases; index++) writeFileSync(join(cold, `address${index}`), line)
  writeFileSync(join(cold, 'journal'), line.repeat(leases))
  for (let round = 0; round < 20; round++) {
    samples.time(`one of ${leases} leases, by its name`, () =>
      readFileSync(join(cold, `address${leases >> 1}`), 'utf8'),
    )
    samples.time(`one of ${leases} leases, in a journal`, () =>
      readFileSync(join(cold, 'journal'), 'utf8')
        .trimEnd()
        .split('\n')
        .map((one) => JSON.parse(one)),
    )
  }
}

try {
  const samples = new Samples()
  measureClaims(samples)
  for (const leases of [1000, 50_000]) measureColdLookUps(samples, leases)
  process.stdout.write(`${renderTables(samples.rows(), [])}\n`)
} finally {
  rmSync(directory, { recursive: true, force: true })
}
