/**
 * The holdings of a node: a file for each VF that an attachment holds (vf/FORMAT.md). Only link(2) makes its name, which one caller wins,
 * and it is on disk before the VF is changed; it is removed after the last step of giving the VF back.
 *
 * Who gives a VF back holds the call of the attachment that has it (Store.hold), and looks again within: nobody else does then.
 */
import { readdirSync, statSync } from 'node:fs'
import { CniError } from '../shared/cni/errors.ts'
import {
  createDurable,
  inDirectory,
  isErrno,
  makeDirectory,
  readIfExists,
  removeName,
  replaceDurable,
  replaceUnsynced,
} from '../shared/disk.ts'
import { readHostIdentity } from '../shared/host/boot.ts'
import { messageOf } from '../shared/message.ts'
import { type Holding, parseHolding, renderHolding } from './holding.ts'

const holdingMaxBytes = 64 * 1024
const looksMaxBytes = 1024 * 1024
const looksName = '.looks'
/** No call takes so long to write a file. */
const leftOverMinMs = 600_000

interface Listing {
  readonly holdings: readonly Holding[]
  /** The paths of files that are no holdings. */
  readonly damaged: readonly string[]
}

export class Holdings {
  readonly #path: string
  readonly #isShared: () => boolean

  /** `isShared`: nodes share the directory; asked when it is there. */
  constructor(dataDir: string, isShared: () => boolean) {
    this.#path = `${dataDir}/vf`
    this.#isShared = isShared
  }

  /** What stands behind the names of this node's files: nothing, unless nodes share the directory. */
  get #suffix(): string {
    return this.#isShared() ? `,${readHostIdentity()}` : ''
  }

  #at(name: string): string {
    return `${this.#path}/${name}${this.#suffix}`
  }

  #read(path: string): Holding | 'damaged' | undefined {
    const text = readIfExists(path, holdingMaxBytes)
    return text === undefined ? undefined : (parseHolding(text) ?? 'damaged')
  }

  /** Who holds the VF; undefined when nobody does. Throws ERR_DAMAGED naming the file. */
  find(address: string): Holding | undefined {
    const found = this.#read(this.#at(address))
    if (found !== 'damaged') return found
    const details = `once no pod has "${address}", put it right by hand and remove the file`
    throw new CniError('ERR_DAMAGED', `Cannot read "${this.#at(address)}": not a whole holding`, { details })
  }

  /** Makes the holding durable; false when somebody holds the VF. Throws ERR_IO. */
  async create(holding: Holding): Promise<boolean> {
    const path = this.#at(holding.address)
    try {
      if (readIfExists(path, 0) !== undefined) return false
      makeDirectory(this.#path)
      return await createDurable(path, renderHolding(holding))
    } catch (error) {
      throw new CniError('ERR_IO', `Cannot write "${path}": ${messageOf(error)}`, { cause: error })
    }
  }

  /** Puts a holding in the place of the same one. */
  replace(holding: Holding): void {
    replaceDurable(this.#at(holding.address), renderHolding(holding))
  }

  /** The VF is free again. A power cut may bring the name back: then it is of an earlier boot. */
  remove({ address }: Holding): void {
    removeName(this.#at(address))
  }

  /** All that is held on this node, by address. */
  list(): Listing {
    const holdings: Holding[] = []
    const damaged: string[] = []
    for (const name of this.#names()) {
      const found = this.#read(this.#at(name))
      if (found === 'damaged') damaged.push(this.#at(name))
      else if (found !== undefined) holdings.push(found)
    }
    return { holdings, damaged }
  }

  #allNames(): string[] {
    try {
      return readdirSync(this.#path)
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return []
      throw error
    }
  }

  /** The addresses of the VFs that this node's files are about. */
  #names(): string[] {
    const all = this.#allNames().filter((name) => !name.startsWith('.'))
    const suffix = all.length === 0 ? '' : this.#suffix
    const own = all.filter((name) => name.endsWith(suffix))
    const addresses = own.map((name) => name.slice(0, name.length - suffix.length))
    return addresses.filter((name) => !name.includes(',')).sort()
  }

  /** Removes files that killed calls were writing; younger ones may be somebody's. */
  removeLeftOvers(nowMs: number): void {
    for (const name of this.#allNames().filter((one) => one.startsWith('.new,'))) {
      const path = `${this.#path}/${name}`
      const madeMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? nowMs
      if (nowMs - madeMs > leftOverMinMs) removeName(path)
    }
  }

  /** When a sweep first found a holding's namespace gone, by what the sweep calls it; milliseconds since the epoch. */
  firstLooks(): Map<string, number> {
    const text = readIfExists(this.#at(looksName), looksMaxBytes) ?? ''
    return new Map(
      text.split('\n').flatMap((line): [string, number][] => {
        const [ms = '', ...name] = line.split(' ')
        return /^[0-9]+$/.test(ms) ? [[name.join(' '), Number(ms)]] : []
      }),
    )
  }

  setFirstLooks(looks: ReadonlyMap<string, number>): void {
    const text = [...looks].map(([name, ms]) => `${ms} ${name}\n`).join('')
    // Two sweeps at once must not write into one file.
    inDirectory(this.#path, () => replaceUnsynced(this.#at(looksName), text, `,${process.pid}`))
  }
}
