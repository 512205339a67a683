/** What a node remembers of itself from one call to the next: the boot it last claimed in, and what its sweeps have seen. */
import { readIfExists, replaceUnsynced } from '../../shared/disk.ts'

const bootIdMaxBytes = 100
const looksMaxBytes = 64 * 1024 * 1024

export class NodeNotes {
  readonly #dataDir: string
  readonly #isShared: () => boolean
  #lastBoot: string | undefined

  constructor(dataDir: string, isShared: () => boolean) {
    this.#dataDir = dataDir
    this.#isShared = isShared
  }

  /** A file of this node. On its own disk that is all there are; the node may have had another name before. */
  #ownFile(name: string, host: string): string {
    return `${this.#dataDir}/${name}${this.#isShared() ? `,${host}` : ''}`
  }

  lastBoot(host: string): string | undefined {
    // Once read it stays true for as long as this process lives.
    this.#lastBoot ??= readIfExists(this.#ownFile('boot', host), bootIdMaxBytes)?.trim()
    return this.#lastBoot
  }

  setLastBoot(host: string, bootId: string): void {
    replaceUnsynced(this.#ownFile('boot', host), `${bootId}\n`)
    this.#lastBoot = bootId
  }

  firstLooks(host: string): Map<string, number> {
    const text = readIfExists(this.#ownFile('sweep', host), looksMaxBytes) ?? ''
    return new Map(
      text.split('\n').flatMap((line): [string, number][] => {
        const [ms = '', ...name] = line.split(' ')
        return /^[0-9]+$/.test(ms) ? [[name.join(' '), Number(ms)]] : []
      }),
    )
  }

  setFirstLooks(host: string, looks: ReadonlyMap<string, number>): void {
    replaceUnsynced(this.#ownFile('sweep', host), [...looks].map(([name, ms]) => `${ms} ${name}\n`).join(''))
  }
}
