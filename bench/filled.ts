/** Stores that have leases already: ours and host-local's, as both would have written them. */
import { linkSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { planFor } from '../ipam/dialects/index.ts'
import { FileStore } from '../ipam/ledger/file-store.ts'
import { attachmentName } from '../ipam/ledger/names.ts'
import { type AttachmentRecord, recordFormat, recordKey, renderRecord } from '../ipam/ledger/record.ts'
import { cidrSpan, formatIp, parseCidr } from '../shared/address.ts'
import { readBootId, readHostIdentity } from '../shared/host/boot.ts'

/** Room for 65 534 leases. */
export const range = '10.64.0.0/16'
export const network = 'bench'
export const ipam = { type: 'berth-ipam', range }
export const plan = planFor({ ipam, network, runtimeRanges: undefined, defaults: undefined })
export const node = { host: readHostIdentity(), bootId: readBootId() }

/** The lowest addresses of the range, from its second on: the first is host-local's gateway. */
function addresses(count: number): string[] {
  const cidr = parseCidr(range)
  if (cidr === undefined) throw new Error(range)
  const { first } = cidrSpan(cidr)
  return Array.from({ length: count }, (_, index) => formatIp({ family: 4, value: first + 2n + BigInt(index) }))
}

const recordOf = (address: string): AttachmentRecord => ({
  format: recordFormat,
  network,
  containerId: `filler-${address}`,
  ifName: 'net1',
  leases: [{ address: `${address}/16`, range }],
  ...node,
  claimedAt: new Date().toISOString(),
})

/** A store with so many leases, one file each, written without the syncs that a filling would wait for. */
export function fillStore(dataDir: string, count: number): FileStore {
  // As the agent opens it.
  const store = new FileStore(dataDir, { deferred: true })
  store.locked(() => {
    store.setLastBoot(node.host, node.bootId)
    for (const address of addresses(count)) {
      const record = recordOf(address)
      const file = join(dataDir, 'leases', attachmentName(recordKey(record)))
      writeFileSync(file, renderRecord(record))
      linkSync(file, join(dataDir, 'leases', address))
    }
  })
  return store
}

/** host-local's folder of the network: a file an address, and the address it gave last. */
export function fillHostLocal(dataDir: string, count: number): void {
  const folder = join(dataDir, network)
  mkdirSync(folder, { recursive: true })
  const taken = addresses(count)
  for (const address of taken) writeFileSync(join(folder, address), `filler-${address}\r\nnet1`)
  const last = taken.at(-1)
  if (last !== undefined) writeFileSync(join(folder, 'last_reserved_ip.0'), last)
}
