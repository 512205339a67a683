/**
 * The IPAM alone, beside leases that are there already: one-shot beside host-local, interleaved, and in a resident process
 * with so many claims under way at once.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Claim, claimAddresses, releaseAddresses } from '../ipam/claim.ts'
import { GroupCommit } from '../ipam/commit.ts'
import type { FileStore } from '../ipam/ledger/file-store.ts'
import { fillHostLocal, fillStore, ipam, network, node, plan, range } from './filled.ts'
import type { Samples } from './measure.ts'

const ours = join(import.meta.dirname, '..', 'dist', 'cni', 'berth-ipam')
const peer = '/usr/lib/cni/host-local'

export const storeNames = {
  one: (verb: string, count: number) => `berth-ipam ${verb}, ${count} leases`,
  peer: (verb: string, count: number) => `host-local ${verb}, ${count} leases`,
  resident: (count: number, atOnce: number) => `resident claim, ${count} leases, ${atOnce} at once`,
} as const

function call(program: string, verb: string, dataDir: string, config: object): void {
  const env = {
    BERTH_DATA_DIR: dataDir,
    CNI_COMMAND: verb,
    CNI_CONTAINERID: 'measured',
    CNI_NETNS: '/nowhere',
    CNI_IFNAME: 'net1',
    CNI_PATH: '/usr/lib/cni',
  }
  const input = JSON.stringify({ cniVersion: '1.0.0', name: network, ...config })
  const done = spawnSync(program, { input, env, encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`${program} ${verb} failed: ${done.stdout}${done.stderr}`)
}

/** The slower the peer, the fewer rounds: its percentiles hardly move. */
const peerRounds = (count: number, rounds: number): number => (count > 1000 ? Math.ceil(rounds / 10) : rounds)

/** Runs a work with a folder that is filled for it. */
async function withStore<T>(count: number, work: (dataDir: string, store: FileStore) => Promise<T>): Promise<T> {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-store-'))
  try {
    return await work(dataDir, fillStore(dataDir, count))
  } finally {
    rmSync(dataDir, { recursive: true, force: true })
  }
}

/** Fills `samples` with calls of both IPAMs beside so many leases. */
export async function measureOneShot(samples: Samples, count: number, rounds: number): Promise<void> {
  await withStore(count, async (dataDir) => {
    const peerDir = join(dataDir, 'host-local')
    mkdirSync(peerDir)
    fillHostLocal(peerDir, count)
    const hostLocal = { type: 'none', ipam: { type: 'host-local', dataDir: peerDir, ranges: [[{ subnet: range }]] } }
    const pair = (program: string, config: object, names: (verb: string, count: number) => string): void => {
      for (const verb of ['ADD', 'DEL']) samples.time(names(verb, count), () => call(program, verb, dataDir, config))
    }
    // The first one finds where the filled part ends.
    for (const verb of ['ADD', 'DEL']) call(ours, verb, dataDir, { type: 'none', ipam })
    for (let round = 0; round < rounds; round++) {
      const turns = [() => pair(ours, { type: 'none', ipam }, storeNames.one)]
      if (round < peerRounds(count, rounds)) turns.push(() => pair(peer, hostLocal, storeNames.peer))
      if (Math.random() < 0.5) turns.reverse()
      for (const turn of turns) turn()
    }
  })
}

const residentClaims = 3000

/** Claims in a closed loop, `atOnce` under way all the time; returns claims a second. */
async function measureLoop(samples: Samples, store: FileStore, count: number, atOnce: number): Promise<number> {
  const commit = new GroupCommit(store)
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < residentClaims) {
      await samples.timeAsync(storeNames.resident(count, atOnce), () =>
        commit.claim(claimOf(`loop-${atOnce}-${next++}`)).then(({ durable }) => durable),
      )
    }
  }
  const start = performance.now()
  await Promise.all(Array.from({ length: atOnce }, worker))
  return (residentClaims * 1000) / (performance.now() - start)
}

function claimOf(containerId: string): Claim {
  return { key: { network, containerId, ifName: 'net1' }, plan, requested: [], node, now: new Date() }
}

/** Loops with more and more claims at once, each beside the leases of those before it; fills `samples` and returns the rates. */
export async function measureResident(samples: Samples, count: number): Promise<ResidentRate[]> {
  return await withStore(count, async (_, store) => {
    // Compiled, and past the filled part, before anything is timed.
    for (let warm = 0; warm < 300; warm++) {
      const claim = claimOf(`warm-${warm}`)
      claimAddresses(store, claim)
      releaseAddresses(store, claim.key, new Date())
    }
    const rates: ResidentRate[] = []
    for (const atOnce of [1, 4, 8]) {
      rates.push({ count, atOnce, claimsPerSecond: await measureLoop(samples, store, count, atOnce) })
    }
    return rates
  })
}

export interface ResidentRate {
  readonly count: number
  readonly atOnce: number
  readonly claimsPerSecond: number
}
