/** Samples of several things taken in turn, and their percentiles. */

export interface Row {
  readonly name: string
  readonly n: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface Ratio {
  readonly name: string
  readonly p50: number
  readonly p99: number
  /** What was promised of the p50; undefined where nothing was. */
  readonly target: number | undefined
  /** What was promised of the p99. */
  readonly target99?: number | undefined
}

export class Samples {
  readonly #ms = new Map<string, number[]>()

  add(name: string, ms: number): void {
    const list = this.#ms.get(name)
    if (list === undefined) this.#ms.set(name, [ms])
    else list.push(ms)
  }

  /** Times one piece of work in wall-clock milliseconds. */
  time<T>(name: string, work: () => T): T {
    const start = process.hrtime.bigint()
    const done = work()
    this.add(name, Number(process.hrtime.bigint() - start) / 1e6)
    return done
  }

  async timeAsync<T>(name: string, work: () => Promise<T>): Promise<T> {
    const start = process.hrtime.bigint()
    const done = await work()
    this.add(name, Number(process.hrtime.bigint() - start) / 1e6)
    return done
  }

  row(name: string): Row {
    const sorted = [...(this.#ms.get(name) ?? [])].sort((a, b) => a - b)
    // Nearest rank: the smallest sample that at least this share of all does not exceed.
    const percentile = (share: number): number =>
      sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
    return { name, n: sorted.length, p50Ms: percentile(0.5), p99Ms: percentile(0.99) }
  }

  rows(): Row[] {
    return [...this.#ms.keys()].map((name) => this.row(name))
  }

  ratio(name: string, base: string, target?: number, target99?: number): Ratio {
    const [ours, theirs] = [this.row(name), this.row(base)]
    return {
      name: `${name} / ${base}`,
      p50: ours.p50Ms / theirs.p50Ms,
      p99: ours.p99Ms / theirs.p99Ms,
      target,
      target99,
    }
  }
}

function table(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const all = [head, ...lines]
  const widths = head.map((_, column) => Math.max(...all.map((line) => line[column]?.length ?? 0)))
  const render = (line: readonly string[]): string =>
    line
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
  return all.map(render).join('\n')
}

export function renderTables(rows: readonly Row[], ratios: readonly Ratio[]): string {
  const times = rows.map(({ name, n, p50Ms, p99Ms }) => [name, String(n), p50Ms.toFixed(3), p99Ms.toFixed(3)])
  const verdict = (found: number, target: number | undefined): string =>
    target === undefined ? '' : `<= ${Number(target.toFixed(4))} ${found <= target ? 'met' : 'MISSED'}`
  const shares = ratios.map(({ name, p50, p99, target, target99 }) => [
    name,
    p50.toFixed(4),
    verdict(p50, target),
    p99.toFixed(4),
    verdict(p99, target99),
  ])
  return `${table(['what', 'n', 'p50 ms', 'p99 ms'], times)}\n\n${table(['ratio', 'p50', 'target', 'p99', 'target'], shares)}\n`
}
