/** What a store's memory costs by the size of the range: run with `--expose-gc <range>`, prints the bytes of the heap after claims. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { claimAddresses } from '../ipam/claim.ts'
import { planFor } from '../ipam/dialects/index.ts'
import { FileStore } from '../ipam/ledger/file-store.ts'
import { network, node } from './filled.ts'

const claims = 200
const [range = ''] = process.argv.slice(2)
const plan = planFor({ ipam: { type: 'berth-ipam', range }, network, runtimeRanges: undefined, defaults: undefined })
const dataDir = mkdtempSync(join(tmpdir(), 'berth-memory-'))
try {
  const store = new FileStore(dataDir)
  for (let index = 0; index < claims; index++) {
    const key = { network, containerId: `ctr-${index}`, ifName: 'net1' }
    claimAddresses(store, { key, plan, requested: [], node, now: new Date() })
  }
  globalThis.gc?.()
  process.stdout.write(`${process.memoryUsage().heapUsed}\n`)
} finally {
  rmSync(dataDir, { recursive: true, force: true })
}
