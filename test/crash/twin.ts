/** The IPAM and its model side by side: every operation is done to both, and what they say is compared. */
import { linkSync, mkdirSync, readdirSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { type Claim, claimTogether, releaseAddresses } from '../../ipam/claim.ts'
import { readRequested } from '../../ipam/decide.ts'
import { FileStore } from '../../ipam/ledger/file-store.ts'
import { collectGarbage, sweep } from '../../ipam/sweep.ts'
import { formatIp } from '../../shared/address.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { type Attachment, Model } from './model.ts'
import { addressesOf, type ClaimWish, nameOf, type Operation } from './operations.ts'
import { damageOrder } from './orders.ts'
import { orders, plans, type TwinPlan } from './plans.ts'

const graceMs = 60_000
const host = 'node-1'
const dayMs = 86_400_000

export class Twin {
  readonly #store: FileStore
  readonly #model = new Model()
  readonly #dataDir: string
  readonly #places: string
  #nowMs = Date.now() - (Date.now() % 1000)
  #count = 0

  constructor(directory: string) {
    this.#dataDir = `${directory}/data`
    this.#places = `${directory}/netns`
    mkdirSync(this.#places, { recursive: true })
    this.#store = new FileStore(this.#dataDir)
  }

  get early(): number {
    return this.#model.early
  }

  apply(operation: Operation): void {
    this.#count++
    if (this.#store.exists()) this.#model.listed = readdirSync(`${this.#dataDir}/leases`)
    if (operation.do === 'claim') this.#claim(operation.wishes)
    else if (operation.do === 'release') this.#release(operation)
    else if (operation.do === 'die') this.#die(operation)
    else if (operation.do === 'cut') this.#cut(operation)
    else if (operation.do === 'replace') this.#replace(operation)
    else if (operation.do === 'collect') this.#collect(operation.plan)
    else if (operation.do === 'sweep') this.#sweep()
    else if (operation.do === 'reboot') this.#reboot()
    else if (operation.do === 'wait') this.#wait(operation.seconds * 1000)
    else this.#corrupt(orders[operation.order % orders.length] ?? '', operation.how)
  }

  /** The names in the directory are those of the model, and the store finds nothing wrong but what was cut short. */
  compare(): void {
    if (!this.#store.exists()) return
    const names = readdirSync(`${this.#dataDir}/leases`).filter((name) => !/^[.~]/.test(name))
    const addresses = names.filter((name) => !name.includes(',')).sort()
    const held = this.#model.heldNames().map(nameOf).sort()
    if (addresses.join() !== held.join()) throw new Error(`held are ${addresses}, in the model ${held}`)
    const attachments = names.filter((name) => name.includes(',')).sort()
    const keys = [...this.#model.attachments.keys()].sort()
    if (attachments.join() !== keys.join()) throw new Error(`attached are ${attachments}, in the model ${keys}`)
    const wrong = this.#store
      .inspect()
      .filter(({ kind, name }) => kind !== 'left over' && !(kind === 'incomplete' && this.#isCut(name)))
    if (wrong.length > 0) throw new Error(`inspect: ${JSON.stringify(wrong)}`)
  }

  #isCut(key: string): boolean {
    const one = this.#model.attachments.get(key)
    return one !== undefined && one.held.length < one.addresses.length
  }

  #plan(index: number): TwinPlan {
    const plan = plans[index % plans.length]
    if (plan === undefined) throw new Error('no plan')
    return plan
  }

  #keyOf({ plan, who }: { plan: number; who: number }): string {
    return `${this.#plan(plan).model.network},c${who},net1`
  }

  #isDead = ({ netns }: Attachment): boolean => statSync(netns, { throwIfNoEntry: false }) === undefined

  /** What stands for a namespace is a file: the IPAM asks only whether it is there, and which one it is. */
  #netnsFor(key: string, anew: boolean): NonNullable<Claim['netns']> {
    const old = this.#model.attachments.get(key)?.netns
    const path = old !== undefined && !anew ? old : `${this.#places}/${this.#count},${key}`
    if (statSync(path, { throwIfNoEntry: false }) === undefined) writeFileSync(path, '')
    const { dev, ino } = statSync(path)
    return { path, dev, ino }
  }

  #claimOf(operation: ClaimWish): Claim {
    const plan = this.#plan(operation.plan)
    const key = this.#keyOf(operation)
    const dead = this.#model.attachments.get(key)
    const netns = this.#netnsFor(key, operation.anew || (dead !== undefined && this.#isDead(dead)))
    return {
      key: { network: plan.model.network, containerId: `c${operation.who}`, ifName: 'net1' },
      plan: plan.real,
      requested: plan.asks ? readRequested([`10.0.0.${4 + (operation.ask % 9)}`]) : [],
      netns,
      pod: { namespace: 'shop', name: `web-${operation.who % 3}` },
      node: { host, bootId: this.#model.boot },
      now: new Date(this.#nowMs),
    }
  }

  /** Decided one after the other and written together, each attachment once. */
  #claim(wishes: readonly ClaimWish[]): void {
    const each = [...new Map(wishes.map((wish) => [this.#keyOf(wish), wish])).values()]
    // One that was cut short is made whole before the others are written, and may win what they were promised.
    const cut = each.find((wish) => this.#isCut(this.#keyOf(wish)))
    const different = cut === undefined ? each : [cut]
    const claims = different.map((wish) => this.#claimOf(wish))
    const outcomes = claimTogether(this.#store, claims).map((outcome) => {
      if (!('error' in outcome)) return addressesOf(outcome.record)
      if (!(outcome.error instanceof CniError)) throw outcome.error
      return outcome.error.errorName
    })
    this.#model.sweepBoots(this.#nowMs)
    claims.forEach((claim, index) => {
      const wish = different[index]
      const outcome = outcomes[index]
      if (wish !== undefined && outcome !== undefined)
        this.#judge(this.#plan(wish.plan), this.#keyOf(wish), claim, outcome)
    })
    this.#followExpired()
  }

  /** What the claim found, in the order in which it looks. */
  #judge(plan: TwinPlan, key: string, claim: Claim, outcome: string[] | string): void {
    const [model, now] = [this.#model, this.#nowMs]
    const asked = plan.asks ? `default ${formatIp(claim.requested[0]?.ip ?? { family: 4, value: 0n })}` : ''
    const pod = plan.model.keepMs === undefined ? undefined : claim.pod?.name
    const attachment = (addresses: readonly string[]): Attachment => ({
      ...{ key, plan: plan.model, pod, asked, addresses, held: addresses, boot: model.boot },
      ...{ netns: claim.netns?.path ?? '', claimedAtMs: now, file: `${this.#count}` },
    })
    const expect = (wanted: readonly string[]): void => {
      if (`${outcome}` !== `${wanted}`) throw new Error(`claim of ${key}: ${outcome}, and not ${wanted}`)
    }
    const earlier = model.complete(key, now)
    const isHere = earlier?.netns === claim.netns?.path && earlier?.boot === model.boot
    if (earlier !== undefined && isHere && earlier.asked === asked) {
      expect(earlier.addresses)
      return
    }
    if (earlier !== undefined && (isHere || (earlier.boot === model.boot && !this.#isDead(earlier)))) {
      expect(['ERR_CONFLICT'])
      return
    }
    model.release(key, now)
    const back = model.takeKept(pod, now) ?? (earlier?.asked === asked ? earlier.addresses : undefined)
    if (back === undefined && asked !== '') model.dropExpiredOf(asked, now)
    if (back === undefined) this.#judgeFresh(plan, attachment, asked, outcome)
    else {
      expect(back)
      model.hold(attachment(back), [])
    }
  }

  #judgeFresh(
    plan: TwinPlan,
    attachment: (addresses: readonly string[]) => Attachment,
    asked: string,
    outcome: string[] | string,
  ): void {
    const [model, now, network] = [this.#model, this.#nowMs, plan.model.network]
    const named = [...plan.model.fixed, ...(asked === '' ? [] : [asked])]
    // What is kept for too long is dropped when somebody searches for more, which may have been an earlier one of this batch.
    const isTaken = (address: string): boolean =>
      model.isHeld(address) && (outcome === 'ERR_TAKEN' || !model.isExpired(address, now))
    const taken = named.some(isTaken)
    // A requested address takes the place of its family's dynamic one.
    const sets = plan.model.sets.filter((set) => asked === '' || !set.some(({ gives }) => gives.includes(asked)))
    const isFree = sets.every((set) => set.some((range) => model.freeOf(range, now).length > 0))
    const error = taken ? 'ERR_TAKEN' : isFree ? undefined : 'ERR_EXHAUSTED'
    if (error !== undefined || typeof outcome === 'string') {
      if (outcome !== error) throw new Error(`claim of ${network}: ${outcome}, and not ${error ?? 'an address'}`)
      // What was offered and not taken is at the end of the order's knowledge.
      model.doubt(sets.flat().flatMap((range) => model.freeOf(range, now)))
      return
    }
    const dynamic = outcome.filter((address) => !named.includes(address))
    if (dynamic.length !== sets.length || outcome.length !== sets.length + named.length) {
      throw new Error(`claim of ${network}: ${outcome}, and not ${named} and ${sets.length} more`)
    }
    const one = attachment(outcome)
    sets.forEach((set, index) => {
      const given = dynamic[index] ?? ''
      const why = model.objection(set, given, one.key, plan.model.coolDownMs, now)
      if (why !== undefined) throw new Error(`claim of ${one.key}: ${given} was given, but ${why}`)
    })
    for (const address of outcome) model.dropExpiredOf(address, now)
    model.hold(one, dynamic)
  }

  /** A search of everything drops what is kept for too long; when there is one is the store's own business. */
  #followExpired(): void {
    const { kept } = this.#store.list()
    for (const { record, sinceMs } of kept) {
      if (sinceMs === this.#nowMs && record.pod?.name !== undefined) this.#model.restartKept(record.pod.name, sinceMs)
    }
    const names = new Set(kept.map(({ record }) => record.pod?.name))
    for (const pod of this.#model.expired(this.#nowMs)) if (!names.has(pod)) this.#model.dropKept(pod, this.#nowMs)
  }

  #replace(operation: { plan: number; who: number }): void {
    const { network } = this.#plan(operation.plan).model
    const found = this.#store.find({ network, containerId: `c${operation.who}`, ifName: 'net1' })
    if (found === undefined) return
    const record = { ...found, claimedAt: new Date(this.#nowMs).toISOString() }
    const isWhole = this.#store.locked(() => this.#store.replace(record, this.#nowMs)) === undefined
    if (isWhole !== this.#model.replace(this.#keyOf(operation), this.#nowMs)) {
      throw new Error(`replacing ${this.#keyOf(operation)}: ${isWhole}`)
    }
  }

  #release(operation: { plan: number; who: number }): void {
    const { network } = this.#plan(operation.plan).model
    const key = { network, containerId: `c${operation.who}`, ifName: 'net1' }
    const isReleased = releaseAddresses(this.#store, key, new Date(this.#nowMs))
    if (isReleased !== this.#model.attachments.has(this.#keyOf(operation))) {
      throw new Error(`release of ${this.#keyOf(operation)}: ${isReleased}`)
    }
    this.#model.release(this.#keyOf(operation), this.#nowMs)
  }

  #die(operation: { plan: number; who: number }): void {
    const one = this.#model.attachments.get(this.#keyOf(operation))
    if (one !== undefined) rmSync(one.netns, { force: true })
  }

  /** As a kill between two links leaves it: the record's own name, some of its addresses', and the one it was written under. */
  #cut(operation: { plan: number; who: number }): void {
    const key = this.#keyOf(operation)
    const one = this.#model.attachments.get(key)
    if (one === undefined || one.pod !== undefined) return
    const leases = `${this.#dataDir}/leases`
    const temporary = `${leases}/.new,${key}`
    if (statSync(temporary, { throwIfNoEntry: false }) === undefined) linkSync(`${leases}/${key}`, temporary)
    const lost = one.held.at(-1)
    if (lost === undefined) return
    unlinkSync(`${leases}/${nameOf(lost)}`)
    this.#model.attachments.set(key, { ...one, held: one.held.slice(0, -1) })
    this.#model.free([lost], key, this.#nowMs, true)
  }

  #collect(plan: number): void {
    const { network } = this.#plan(plan).model
    const isValid = (containerId: string): boolean => containerId === 'c0'
    const wish = { node: { host, bootId: this.#model.boot }, nowMs: this.#nowMs, inUse: () => false }
    collectGarbage(this.#store, network, ({ containerId }) => isValid(containerId), wish)
    if (!this.#store.exists()) return
    for (const one of this.#model.inOrder()) {
      const isDead = one.boot !== this.#model.boot || this.#isDead(one)
      const [of, containerId = ''] = one.key.split(',')
      if (of === network && !isValid(containerId) && isDead) this.#model.release(one.key, this.#nowMs)
    }
  }

  #sweep(): void {
    const node = { host, bootId: this.#model.boot }
    sweep(this.#store, { node, nowMs: this.#nowMs, graceMs, inUse: () => false })
    this.#model.sweep(this.#nowMs, graceMs, this.#isDead)
  }

  #reboot(): void {
    for (const { netns } of this.#model.attachments.values()) rmSync(netns, { force: true })
    this.#model.boot = `boot-${this.#count}`
  }

  #wait(ms: number): void {
    this.#nowMs += ms
    // From what was freed before the clock was set nobody can say how long it rested.
    if (Math.abs(ms) >= dayMs) this.#model.doubt()
  }

  #corrupt(order: string, how: number): void {
    if (damageOrder(this.#dataDir, order, how)) this.#model.damageOrder(order)
  }
}
