/** Addresses that strangers use: kept out of use for a while, and others claimed in their place. */
import { formatIp, type Ip, sameIp } from '../shared/address.ts'
import { describeKey } from '../shared/attachment.ts'
import { CniError } from '../shared/cni/errors.ts'
import { type Claim, lostRacesMax, tooManyLost } from './claim.ts'
import { type AttachmentRecord, type Lease, leaseIp, recordKey } from './ledger/record.ts'
import type { Store } from './ledger/store.ts'
import { Round } from './round.ts'

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

/** Puts the addresses, which nobody holds any more, out of use. */
function quarantine(store: Store, record: AttachmentRecord, conflicts: readonly Conflict[], nowMs: number): void {
  for (const { ip, mac } of conflicts) {
    const lease = record.leases.find((one) => sameIp(leaseIp(one), ip))
    if (lease === undefined) continue
    const offence = quarantineRecord(record, lease, mac)
    // One that a killed call left is put out of use anew.
    store.forget(recordKey(offence), nowMs)
    if (store.put([offence])[0] === undefined) store.remove(recordKey(offence), nowMs)
  }
}

/** Replaces the attachment's record by one with other addresses; what is left of its own stays. */
function replaceLeases(store: Store, claim: Claim, own: readonly Lease[]): AttachmentRecord {
  const round = new Round(store)
  for (let lost = 0; lost <= lostRacesMax; lost++) {
    const record = round.decideAgain(claim, own)
    if (store.replace(record, claim.now.getTime()) !== undefined) continue
    round.save()
    return record
  }
  throw tooManyLost(claim)
}

/**
 * Claims others for the addresses of an attachment that strangers use. At every instant there is a record of it: its link is
 * there already, and a DEL finds it by that. When nothing else can be claimed it has what was left of its addresses.
 */
export function claimInstead(store: Store, claim: Claim, conflicts: readonly Conflict[]): AttachmentRecord {
  const nowMs = claim.now.getTime()
  const isRefused = (lease: Lease): boolean => conflicts.some(({ ip }) => sameIp(ip, leaseIp(lease)))
  return store.locked(() => {
    const record = store.find(claim.key)
    if (record === undefined) {
      throw new CniError('ERR_CONFLICT', `Cannot claim for ${describeKey(claim.key)}: it holds nothing any more`)
    }
    const own = record.leases.filter((lease) => !isRefused(lease))
    try {
      const wanted = [...claim.requested.map(({ ip }) => ip), ...claim.plan.fixed.map(({ address }) => address.ip)]
      const named = conflicts.find(({ ip }) => wanted.some((one) => sameIp(one, ip)))
      if (named !== undefined) {
        const message = `Cannot claim "${formatIp(named.ip)}": "${named.mac}" answers for it on the wire`
        throw new CniError('ERR_TAKEN', message)
      }
      return replaceLeases(store, claim, own)
    } catch (error) {
      store.replace({ ...record, leases: own }, nowMs)
      throw error
    } finally {
      quarantine(store, record, conflicts, nowMs)
    }
  })
}
