/** Addresses that strangers use: kept out of use for a while, and others claimed in their place. */
import { formatIp, type Ip, sameIp } from '../shared/address.ts'
import { CniError } from '../shared/cni/errors.ts'
import { type Claim, claimLocked } from './claim.ts'
import { type AttachmentRecord, describeKey, type Lease, leaseIp, recordKey } from './ledger/record.ts'
import type { Store } from './ledger/store.ts'

/** An address that somebody on the wire answers for, who is not of this store. */
export interface Conflict {
  readonly ip: Ip
  /** Who answered. */
  readonly mac: string
}

/** How long the address stays out of use; whoever uses it by mistake has time to be found. */
const quarantineMs = 3_600_000

/** A record of an attachment that is none: kept under the offender's name, it expires as every other kept one does. */
function quarantineRecord(record: AttachmentRecord, lease: Lease, mac: string): AttachmentRecord {
  const { link: _link, netns: _netns, ...rest } = record
  const offender = mac.replaceAll(':', '-')
  return {
    ...rest,
    containerId: `conflict-${offender}-${formatIp(leaseIp(lease)).replaceAll(':', '-')}`,
    leases: [lease],
    pod: { namespace: 'conflict', name: `${mac} ${formatIp(leaseIp(lease))}` },
    keepMs: quarantineMs,
  }
}

export function claimInstead(store: Store, claim: Claim, conflicts: readonly Conflict[]): AttachmentRecord {
  const nowMs = claim.now.getTime()
  return store.locked(() => {
    const record = store.find(claim.key)
    if (record === undefined) {
      throw new CniError('ERR_CONFLICT', `Cannot claim for ${describeKey(claim.key)}: it holds nothing any more`)
    }
    // Not kept for the pod: it would get the same address again.
    store.forget(claim.key, nowMs)
    for (const { ip, mac } of conflicts) {
      const lease = record.leases.find((one) => sameIp(leaseIp(one), ip))
      if (lease === undefined) continue
      const offence = quarantineRecord(record, lease, mac)
      // One that a killed call left is put out of use anew.
      store.forget(recordKey(offence), nowMs)
      if (store.put([offence])[0] === undefined) store.remove(recordKey(offence), nowMs)
    }
    const named = conflicts.find(({ ip }) => claim.requested.some((wanted) => sameIp(wanted.ip, ip)))
    if (named !== undefined) {
      const message = `Cannot claim "${formatIp(named.ip)}": "${named.mac}" answers for it on the wire`
      throw new CniError('ERR_TAKEN', message)
    }
    return claimLocked(store, claim).record
  })
}
