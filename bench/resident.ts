/** Claims in a resident process beside leases that are there already, so many under way at once. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Claim, claimAddresses, releaseAddresses } from '../ipam/claim.ts'
import { GroupCommit } from '../ipam/commit.ts'
import type { FileStore } from '../ipam/ledger/file-store.ts'
import { nodeOptions } from '../packaging/build.ts'
import { fillStore, network, node, plan } from './filled.ts'
import { Samples } from './measure.ts'

/** Of all loops together there is room for beside the largest filling. */
const claimsPerLoop = 3500

export interface ResidentRate {
  readonly count: number
  readonly atOnce: number
  readonly claimsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

function claimOf(containerId: string): Claim {
  return { key: { network, containerId, ifName: 'net1' }, plan, requested: [], node, now: new Date() }
}

/** Claims in a closed loop, `atOnce` under way all the time. */
async function measureLoop(store: FileStore, count: number, atOnce: number): Promise<ResidentRate> {
  const samples = new Samples()
  const commit = new GroupCommit(store)
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < claimsPerLoop) {
      await samples.timeAsync('claim', () =>
        commit.claim(claimOf(`loop-${atOnce}-${next++}`)).then(({ durable }) => durable),
      )
    }
  }
  const start = performance.now()
  await Promise.all(Array.from({ length: atOnce }, worker))
  const claimsPerSecond = (claimsPerLoop * 1000) / (performance.now() - start)
  const { p50Ms, p99Ms } = samples.row('claim')
  return { count, atOnce, claimsPerSecond, p50Ms, p99Ms }
}

/** Loops with more and more claims at once, each beside the leases of those before it. */
async function measureHere(dataDir: string, count: number): Promise<ResidentRate[]> {
  const store = fillStore(dataDir, count)
  // Nobody fills a node in a second: the disk has written all that before anything is timed.
  execFileSync('sync', ['-f', dataDir])
  // Compiled, and past the filled part, before anything is timed.
  for (let warm = 0; warm < 300; warm++) {
    const claim = claimOf(`warm-${warm}`)
    claimAddresses(store, claim)
    releaseAddresses(store, claim.key, new Date())
  }
  const rates: ResidentRate[] = []
  for (const atOnce of [1, 3, 4, 8]) rates.push(await measureLoop(store, count, atOnce))
  return rates
}

/**
 * Measures in a process of its own with the agent's options, beside so many leases. In a part of the disk of its own as well: ext4
 * without a journal gives no inode out for minutes after it was freed, and looks for another among all of them.
 */
export function measureResident(count: number): ResidentRate[] {
  const parent = mkdtempSync(join(tmpdir(), 'berth-resident-'))
  try {
    // Not there, or not ext4: then there is no such part either.
    spawnSync('chattr', ['+T', parent])
    const options = [...nodeOptions, import.meta.filename, mkdtempSync(join(parent, 'store-')), String(count)]
    return JSON.parse(execFileSync(process.execPath, options, { encoding: 'utf8' }))
  } finally {
    rmSync(parent, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  const [dataDir = '', count] = process.argv.slice(2)
  process.stdout.write(JSON.stringify(await measureHere(dataDir, Number(count))))
}
