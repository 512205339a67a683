/** The IPAM alone, beside leases that are there already, each call in a process of its own: ours beside host-local, interleaved. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FileStore } from '../ipam/ledger/file-store.ts'
import { fillHostLocal, fillStore, ipam, network, range } from './filled.ts'
import type { Samples } from './measure.ts'

const ours = join(import.meta.dirname, '..', 'dist', 'cni', 'berth-ipam')
const peer = '/usr/lib/cni/host-local'

export const storeNames = {
  one: (verb: string, count: number) => `berth-ipam ${verb}, ${count} leases`,
  peer: (verb: string, count: number) => `host-local ${verb}, ${count} leases`,
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
