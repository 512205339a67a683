/**
 * Taking over what another IPAM has given out: records that hold the same addresses, so that no ADD gives them out again and
 * the DEL of the same attachment releases them.
 *
 * Running it again changes nothing: what is recorded already is counted, what a kill left half done is completed.
 */
import { type Cidr, cidrSpan, formatCidr, formatIp, type Ip, spanContains } from '../../shared/address.ts'
import { describeKey, sameKey } from '../../shared/attachment.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { type AttachmentKey, checkKey } from '../../shared/cni/request.ts'
import { addressName, attachmentName, leaseNames } from '../ledger/names.ts'
import { type AttachmentRecord, type Lease, leaseIp, leaseSpace, recordFormat, recordKey } from '../ledger/record.ts'
import type { Store } from '../ledger/store.ts'
import { defaultSpace } from '../plan.ts'
import { type Node, sweepEarlierBoots } from '../sweep.ts'

/** An address that the other IPAM has given to an attachment. */
export interface Found {
  /** Where it was found, for messages: a file's name, an entry of a pool. */
  readonly at: string
  readonly key: AttachmentKey
  readonly ip: Ip
  /** The subnets that it may belong to, besides those of the wish. */
  readonly subnet?: Cidr
  readonly pod?: AttachmentRecord['pod']
  /** When it was given, if that is known; RFC 3339, UTC. */
  readonly since?: string
}

/** What could not be taken over, and why. */
export interface Skipped {
  readonly at: string
  readonly why: string
}

export interface TakeOverWish {
  readonly from: 'host-local' | 'whereabouts'
  readonly space: string
  /** Subnets of the addresses; the first that contains one gives it its prefix length. */
  readonly subnets: readonly Cidr[]
  readonly node: Node
  readonly now: Date
  readonly dryRun: boolean
  readonly onProgress: (done: number, total: number) => void
}

export interface TakenOver {
  /** As recorded, or as it would be. */
  readonly taken: readonly AttachmentRecord[]
  /** Attachments that were recorded already, with all their addresses. */
  readonly unchanged: number
  readonly skipped: readonly Skipped[]
}

/** Records that one sync makes durable together: a fraction of the time, and CNI calls wait for no more than these. */
const batchMaxRecords = 16

/** A file name is made of it: no slash, no comma, and it stays short enough. */
const spacePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.:~-]{0,159}$/

/** Throws ERR_CONFIG for a text that cannot be a space. */
export function checkSpace(space: string): void {
  if (spacePattern.test(space)) return
  const rule = 'must be at most 160 letters, digits, "_", ".", ":", "~" or "-"'
  throw new CniError('ERR_CONFIG', `Cannot use the space ${JSON.stringify(space)}: ${rule}`)
}

/** One attachment with all that was found for it, in the order of the subnets. */
interface Group {
  readonly key: AttachmentKey
  readonly found: readonly Found[]
}

interface Planned {
  readonly record: AttachmentRecord
  /** The attachment is recorded already, with fewer addresses. */
  readonly isMore: boolean
}

function groupByAttachment(found: readonly Found[]): Group[] {
  const groups = Map.groupBy(found, ({ key }) => attachmentName(key))
  return [...groups.values()].flatMap((group) => (group[0] === undefined ? [] : [{ key: group[0].key, found: group }]))
}

const whyOf = ({ message, details }: CniError): string => (details === '' ? message : `${message}: ${details}`)

class TakeOver {
  readonly #store: Store
  readonly #wish: TakeOverWish
  readonly #taken: AttachmentRecord[] = []
  readonly #skipped: Skipped[] = []
  /** Addresses of this run: in a dry run, and within a batch, the store does not know of them. */
  readonly #own = new Map<string, AttachmentKey>()
  #unchanged = 0

  constructor(store: Store, wish: TakeOverWish) {
    this.#store = store
    this.#wish = wish
  }

  get result(): TakenOver {
    return { taken: this.#taken, unchanged: this.#unchanged, skipped: this.#skipped }
  }

  run(groups: readonly Group[]): void {
    const planned = groups.map((group) => this.#planOf(group)).filter((one) => one !== undefined)
    const [fresh, more] = [planned.filter(({ isMore }) => !isMore), planned.filter(({ isMore }) => isMore)]
    const records = [...fresh, ...more].map(({ record }) => record)
    const lost = this.#wish.dryRun ? [] : this.#record(fresh, more)
    records.forEach((record, index) => {
      const ip = lost[index]
      if (ip === undefined) this.#taken.push(record)
      else this.#skip(describeKey(recordKey(record)), `somebody else was faster to take ${formatIp(ip)}`)
    })
  }

  #record(fresh: readonly Planned[], more: readonly Planned[]): (Ip | undefined)[] {
    const nowMs = this.#wish.now.getTime()
    const lost = this.#store.put(fresh.map(({ record }) => record))
    return [...lost, ...more.map(({ record }) => this.#store.replace(record, nowMs))]
  }

  #skip(at: string, why: string): void {
    this.#skipped.push({ at, why })
  }

  /** What is to be recorded of an attachment; undefined when that is nothing. */
  #planOf(group: Group): Planned | undefined {
    let earlier: AttachmentRecord | undefined
    try {
      checkKey(group.key)
      earlier = this.#earlier(group.key)
    } catch (error) {
      if (!(error instanceof CniError) || error.errorName === 'ERR_TRY_AGAIN') throw error
      for (const { at } of group.found) this.#skip(at, whyOf(error))
      return undefined
    }
    const has = new Set(earlier === undefined ? [] : leaseNames(earlier))
    const missing = group.found.filter(({ ip }) => !has.has(addressName(this.#wish.space, ip)))
    const leases = missing.flatMap((found) => this.#leaseOf(found, earlier))
    if (leases.length === 0) {
      if (missing.length === 0) this.#unchanged++
      return undefined
    }
    return earlier === undefined
      ? { record: this.#newRecord(group, leases), isMore: false }
      : { record: { ...earlier, leases: [...earlier.leases, ...leases] }, isMore: true }
  }

  /** What is recorded for the attachment, whole. Throws ERR_DAMAGED. */
  #earlier(key: AttachmentKey): AttachmentRecord | undefined {
    const earlier = this.#store.find(key)
    if (earlier?.imported === undefined) return earlier
    const holds = (lease: Lease): boolean => {
      const holder = this.#store.holder(leaseSpace(lease), leaseIp(lease))
      return holder !== undefined && sameKey(recordKey(holder), key)
    }
    // A run that was killed may have left it without some of its addresses.
    if (this.#wish.dryRun) return earlier.leases.every(holds) ? earlier : undefined
    const nowMs = this.#wish.now.getTime()
    const whole = this.#store.complete(earlier, nowMs)
    if (whole !== undefined) return whole
    // What it has it keeps; what somebody else has by now is skipped with a word.
    const rest = { ...earlier, leases: earlier.leases.filter(holds) }
    this.#store.replace(rest, nowMs)
    return rest
  }

  #leaseOf({ at, ip, key, subnet }: Found, earlier: AttachmentRecord | undefined): Lease[] {
    const { space, subnets } = this.#wish
    const network = [...subnets, ...(subnet === undefined ? [] : [subnet])].find((one) =>
      spanContains(cidrSpan(one), ip),
    )
    const name = addressName(space, ip)
    const rival = this.#own.get(name)
    if (network === undefined) this.#skip(at, 'lies in none of the subnets given')
    else if (earlier !== undefined && earlier.imported === undefined) {
      this.#skip(at, `${describeKey(key)} is recorded already, with other addresses`)
    } else if (rival !== undefined) {
      if (!sameKey(rival, key)) this.#skip(at, `held by ${describeKey(rival)}`)
    } else if (this.#store.isHeld(space, ip)) {
      const holder = this.#store.holder(space, ip)
      this.#skip(at, `held by ${holder === undefined ? 'somebody else' : describeKey(recordKey(holder))}`)
    } else {
      this.#own.set(name, key)
      const address = formatCidr({ ip, prefix: network.prefix })
      return [{ address, range: formatCidr(network), ...(space === defaultSpace ? {} : { space }) }]
    }
    return []
  }

  #newRecord({ key, found }: Group, leases: Lease[]): AttachmentRecord {
    const { from, node, now } = this.#wish
    const pod = found.find((one) => one.pod !== undefined)?.pod
    return {
      format: recordFormat,
      ...key,
      leases,
      ...(pod === undefined ? {} : { pod }),
      imported: from,
      host: node.host,
      bootId: node.bootId,
      claimedAt: found.find(({ since }) => since !== undefined)?.since ?? now.toISOString(),
    }
  }
}

/** Takes over what was found. CNI calls get their turn between the batches. Errors: those of the store. */
export function takeOver(store: Store, found: readonly Found[], wish: TakeOverWish): TakenOver {
  checkSpace(wish.space)
  const rank = ({ ip }: Found): number => wish.subnets.findIndex((subnet) => spanContains(cidrSpan(subnet), ip))
  const groups = groupByAttachment([...found].sort((a, b) => rank(a) - rank(b)))
  const work = new TakeOver(store, wish)
  // As the first claim of a boot does: the journal that this writes to must have given back what it knows.
  if (!wish.dryRun) store.locked(() => sweepEarlierBoots(store, wish.node, wish.now.getTime()))
  for (let done = 0; done < groups.length; done += batchMaxRecords) {
    const batch = groups.slice(done, done + batchMaxRecords)
    if (wish.dryRun) work.run(batch)
    else store.locked(() => work.run(batch))
    wish.onProgress(Math.min(done + batchMaxRecords, groups.length), groups.length)
  }
  return work.result
}
