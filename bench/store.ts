/** Claims and releases in one warm process, beside leases that are there already: how the cost grows with their number. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { claimAddresses, releaseAddresses } from '../ipam/claim.ts'
import { whereaboutsPlan } from '../ipam/dialects/whereabouts.ts'
import { FileStore } from '../ipam/file-store.ts'
import { recordFormat } from '../ipam/record.ts'
import { cidrSpan, formatIp, parseCidr } from '../shared/address.ts'
import type { Samples } from './measure.ts'

const range = '10.0.0.0/16'
const plan = whereaboutsPlan({ range })
const shared = { space: 'default', bootId: 'bench', claimedAt: new Date().toISOString() }

/** Puts `count` leases from the lowest address on: every one of them is in the way of the next claim. */
function fill(store: FileStore, count: number): void {
  const cidr = parseCidr(range)
  if (cidr === undefined) throw new Error(range)
  const { first } = cidrSpan(cidr)
  store.locked(() => {
    for (let index = 1; index <= count; index++) {
      const address = `${formatIp({ family: 4, value: first + BigInt(index) })}/16`
      const key = { network: 'bench', containerId: `filler-${index}`, ifName: 'net1' }
      store.put({ format: recordFormat, ...key, ...shared, leases: [{ address, range }] })
    }
  })
}

export function measureStore(samples: Samples, counts: readonly number[], rounds: number): void {
  for (const count of counts) {
    const dataDir = mkdtempSync(join(tmpdir(), 'berth-store-'))
    try {
      const store = new FileStore(dataDir)
      fill(store, count)
      const key = { network: 'bench', containerId: 'measured', ifName: 'net1' }
      const claim = { key, plan, requested: [], bootId: shared.bootId, now: new Date() }
      for (let round = 0; round < rounds; round++) {
        samples.time(`claim beside ${count} leases`, () => claimAddresses(store, claim))
        samples.time(`release beside ${count} leases`, () => releaseAddresses(store, key))
      }
    } finally {
      rmSync(dataDir, { recursive: true, force: true })
    }
  }
}
