/**
 * The IPAM's rules once more, in memory and in other words: who holds what, what is kept, what is free and since when. It
 * does not foretell which free address is given; it says whether one that was given could be.
 *
 * Addresses are texts with their space in front, `default 10.0.0.4`. What the order of free addresses can no longer know
 * (its file was damaged, a call was cut short, the clock was set) is `unsure`, and then only who holds what is judged.
 */

export interface ModelRange {
  /** Its order is that of every other range of the same bounds and space. */
  readonly order: string
  /** From the lowest, without what is excluded, reserved or the gateway. */
  readonly gives: readonly string[]
}

export interface ModelPlan {
  readonly network: string
  readonly sets: readonly (readonly ModelRange[])[]
  readonly fixed: readonly string[]
  readonly coolDownMs: number
  readonly keepMs: number | undefined
}

export interface Attachment {
  readonly key: string
  readonly plan: ModelPlan
  readonly pod: string | undefined
  /** What it asked for; '' when it asked for nothing. */
  readonly asked: string
  readonly addresses: readonly string[]
  /** Those of its addresses whose names are there: all, unless a call was cut short. */
  readonly held: readonly string[]
  readonly netns: string
  readonly boot: string
  readonly claimedAtMs: number
  /** The same for those that were written together. */
  readonly file: string
}

interface KeptOnes {
  readonly addresses: readonly string[]
  readonly sinceMs: number
  readonly keepMs: number
  readonly file: string
}

interface Freed {
  readonly atMs: number
  readonly sequence: number
  readonly by: string
  /** The order may know it otherwise. */
  readonly unsure: boolean
}

export class Model {
  readonly attachments = new Map<string, Attachment>()
  readonly kept = new Map<string, KeptOnes>()
  readonly looks = new Map<string, number>()
  readonly #freed = new Map<string, Freed>()
  readonly #everHeld = new Set<string>()
  /** Orders that are not what they were made, and since when each is there. */
  readonly #damaged = new Set<string>()
  readonly #orderSince = new Map<string, number>()
  /** Given while an order still had it as free from an earlier time. */
  readonly #stale = new Set<string>()
  #sequence = 0
  /** The order in which the store lists attachments: of two of the same pod that are released, the last one's is kept. */
  listed: readonly string[] = []
  boot = 'boot-0'
  sweptBoot = ''
  /** Addresses that were given before they had rested, because an older entry of theirs was found first. */
  early = 0

  heldNames(): string[] {
    const lists = [
      ...[...this.attachments.values()].map(({ held }) => held),
      ...[...this.kept.values()].map((one) => one.addresses),
    ]
    return lists.flat().sort()
  }

  isHeld(address: string): boolean {
    return this.heldNames().includes(address)
  }

  #isOver({ sinceMs, keepMs }: KeptOnes, nowMs: number): boolean {
    return sinceMs + keepMs < nowMs
  }

  /** Free, or kept for longer than it has to be. */
  freeOf({ gives }: ModelRange, nowMs: number): string[] {
    const expired = [...this.kept.values()].filter((one) => this.#isOver(one, nowMs)).flatMap((one) => one.addresses)
    const held = new Set(this.heldNames())
    return gives.filter((address) => !held.has(address) || expired.includes(address))
  }

  free(addresses: readonly string[], by: string, atMs: number, unsure = false): void {
    for (const address of addresses) {
      this.#freed.set(address, {
        atMs,
        sequence: ++this.#sequence,
        by,
        unsure: unsure || this.#stale.has(address),
      })
    }
  }

  /** Everything that is free now is known to the orders otherwise than to us, or not at all. */
  doubt(addresses?: readonly string[]): void {
    for (const [address, freed] of this.#freed) {
      if (addresses === undefined || addresses.includes(address)) this.#freed.set(address, { ...freed, unsure: true })
    }
    for (const address of addresses ?? []) this.#everHeld.add(address)
  }

  damageOrder(order: string): void {
    this.#damaged.add(order)
  }

  /** Puts an attachment into the model; `dynamic` are those of its addresses that an order gave. */
  hold(attachment: Attachment, dynamic: readonly string[]): void {
    for (const address of attachment.addresses) {
      // Its entry stays in some order: in that of a range that overlaps, or in all when nobody looked there.
      if (this.#freed.has(address)) this.#stale.add(address)
      else if (!dynamic.includes(address)) this.#stale.delete(address)
      this.#freed.delete(address)
      this.#everHeld.add(address)
    }
    this.attachments.set(attachment.key, attachment)
    for (const set of attachment.plan.sets) {
      // An order is made when it is first asked: the ranges of a set are, one after the other, until one gives.
      const last = set.findIndex(({ gives }) => dynamic.some((address) => gives.includes(address)))
      for (const { order } of set.slice(0, last + 1)) {
        if (!this.#orderSince.has(order)) this.#orderSince.set(order, ++this.#sequence)
      }
    }
  }

  release(key: string, nowMs: number): void {
    const one = this.attachments.get(key)
    if (one === undefined) return
    this.attachments.delete(key)
    if (one.pod === undefined || one.plan.keepMs === undefined) {
      this.free(one.held, key, nowMs)
      return
    }
    this.dropKept(one.pod, nowMs)
    this.kept.set(one.pod, { addresses: one.held, sinceMs: nowMs, keepMs: one.plan.keepMs, file: one.file })
  }

  dropKept(pod: string, nowMs: number): void {
    const one = this.kept.get(pod)
    this.kept.delete(pod)
    // Whose key it bears is nobody's business any more.
    if (one !== undefined) this.free(one.addresses, '', nowMs, true)
  }

  inOrder(): Attachment[] {
    const place = ({ key }: Attachment): number => this.listed.indexOf(key)
    return [...this.attachments.values()].sort((a, b) => place(a) - place(b))
  }

  /** At the first claim after a boot. */
  sweepBoots(nowMs: number): void {
    if (this.sweptBoot === this.boot) return
    for (const { key, boot } of this.inOrder()) if (boot !== this.boot) this.release(key, nowMs)
    this.sweptBoot = this.boot
  }

  /** The pods whose addresses are kept for too long. */
  expired(nowMs: number): string[] {
    return [...this.kept].filter(([, one]) => this.#isOver(one, nowMs)).map(([pod]) => pod)
  }

  isExpired(address: string, nowMs: number): boolean {
    return this.expired(nowMs).some((pod) => this.kept.get(pod)?.addresses.includes(address))
  }

  /** An address that was kept for too long is given to somebody else. */
  dropExpiredOf(address: string, nowMs: number): void {
    for (const pod of this.expired(nowMs))
      if (this.kept.get(pod)?.addresses.includes(address)) this.dropKept(pod, nowMs)
  }

  /** An attachment that was cut short is made whole, or is given up when somebody else has what it lacks. */
  complete(key: string, nowMs: number): Attachment | undefined {
    const one = this.attachments.get(key)
    if (one === undefined) return undefined
    const lacking = one.addresses.filter((address) => !one.held.includes(address))
    if (lacking.some((address) => this.isHeld(address))) {
      this.release(key, nowMs)
      return undefined
    }
    if (lacking.length > 0) this.hold({ ...one, held: one.addresses }, [])
    // Who is there needs nothing kept: that was of another attachment of the same pod.
    if (one.pod !== undefined) this.dropKept(one.pod, nowMs)
    return this.attachments.get(key)
  }

  /** Another record with the same addresses; false, and nothing changes, when somebody else has what it lacks. */
  replace(key: string, nowMs: number): boolean {
    const one = this.attachments.get(key)
    if (one === undefined) return true
    const lacking = one.addresses.filter((address) => !one.held.includes(address))
    if (lacking.some((address) => this.isHeld(address))) return false
    const next = { ...one, held: one.addresses, claimedAtMs: nowMs }
    if (lacking.length > 0) this.hold(next, [])
    else this.attachments.set(key, next)
    return true
  }

  /** The clock was set back: what is kept since a time to come is kept from now on. */
  restartKept(pod: string, nowMs: number): void {
    const one = this.kept.get(pod)
    if (one !== undefined && one.sinceMs > nowMs) this.kept.set(pod, { ...one, sinceMs: nowMs })
  }

  /** What a pod gets back; what is kept for too long is dropped. */
  takeKept(pod: string | undefined, nowMs: number): readonly string[] | undefined {
    const one = pod === undefined ? undefined : this.kept.get(pod)
    if (pod === undefined || one === undefined) return undefined
    if (this.#isOver(one, nowMs)) {
      this.dropKept(pod, nowMs)
      return undefined
    }
    this.kept.delete(pod)
    return one.addresses
  }

  /** Two looks, and a grace period between them. */
  sweep(nowMs: number, graceMs: number, isDead: (one: Attachment) => boolean): void {
    const looks = new Map(this.looks)
    this.looks.clear()
    const dead = this.inOrder().filter((one) => one.boot !== this.boot || isDead(one))
    for (const one of dead) {
      const life = `${one.key} ${one.claimedAtMs}`
      const first = looks.get(life)
      const isDue = first !== undefined && first <= nowMs && first + graceMs <= nowMs
      if (one.boot !== this.boot || isDue) continue
      this.looks.set(life, Math.min(first ?? nowMs, nowMs))
    }
    for (const pod of [...this.kept.keys()]) this.restartKept(pod, nowMs)
    // What expired before is dropped; what is released now is kept from now on.
    const expired = [...this.kept].filter(([, kept]) => this.#isOver(kept, nowMs))
    const earlierFirst = [
      ...dead.filter(({ boot }) => boot !== this.boot),
      ...dead.filter(({ boot }) => boot === this.boot),
    ]
    for (const one of earlierFirst) if (!this.looks.has(`${one.key} ${one.claimedAtMs}`)) this.release(one.key, nowMs)
    for (const [pod, kept] of expired) if (this.kept.get(pod) === kept) this.dropKept(pod, nowMs)
  }

  #isSure(range: ModelRange, address: string): boolean {
    const freed = this.#freed.get(address)
    const since = this.#orderSince.get(range.order) ?? Number.POSITIVE_INFINITY
    return freed !== undefined && !freed.unsure && freed.sequence > since && !this.#damaged.has(range.order)
  }

  /** Why this address could not be given by this set of ranges now; undefined when it could. Nothing was changed yet. */
  objection(set: readonly ModelRange[], given: string, key: string, coolDownMs: number, nowMs: number) {
    const range = set.find((one) => this.freeOf(one, nowMs).length > 0)
    if (range === undefined) return 'nothing is free'
    const free = this.freeOf(range, nowMs)
    if (!free.includes(given)) return `it is not one of the free ones, ${free}`
    const known = (address: string): Freed | undefined => this.#freed.get(address)
    const sure = free.filter((address) => this.#isSure(range, address))
    const own = sure.filter((address) => known(address)?.by === key)
    if (own.length > 0) return own.includes(given) ? undefined : `it had ${own} itself`
    const isRested = (address: string): boolean => (known(address)?.atMs ?? 0) + coolDownMs <= nowMs
    const freedAt = (address: string): number => known(address)?.atMs ?? 0
    const rested = sure.filter(isRested).sort((a, b) => freedAt(a) - freedAt(b))
    const never = this.#damaged.has(range.order) ? [] : free.filter((address) => !this.#everHeld.has(address))
    if (sure.includes(given) && !isRested(given)) {
      return rested.length + never.length === 0 ? undefined : `it rests, and ${[...rested, ...never]} do not`
    }
    if (sure.includes(given)) {
      const [longest = given] = rested
      return freedAt(longest) >= freedAt(given) ? undefined : `${longest} rested for longer`
    }
    if (!never.includes(given)) {
      const freed = known(given)
      if (freed !== undefined && freed.atMs <= nowMs && !isRested(given) && rested.length + never.length > 0)
        this.early++
      return undefined
    }
    if (rested.length > 0) return `it was never given, and ${rested[0]} has rested`
    return never[0] === given ? undefined : `${never[0]} is lower, and was never given either`
  }
}
