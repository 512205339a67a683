/** What is printed at the end: every case with what it took in each column. */
import type { Flavour } from './multus.ts'
import type { Door } from './rig.ts'

/** How Multus runs, and through which door our plugins answer. */
export interface Column {
  readonly multus: Flavour
  readonly door: Door
}

export const columns: readonly Column[] = [
  { multus: 'thin', door: 'one-shot' },
  { multus: 'thin', door: 'agent' },
  { multus: 'thick', door: 'one-shot' },
  { multus: 'thick', door: 'agent' },
]

export const nameOf = ({ multus, door }: Column): string => `${multus}, ${door}`

export class Table {
  readonly #rows = new Map<string, Map<string, string>>()

  note(title: string, column: Column, word: string): void {
    const row = this.#rows.get(title) ?? new Map<string, string>()
    this.#rows.set(title, row.set(nameOf(column), word))
  }

  /** In Markdown, the columns below each other. */
  toString(): string {
    const heads = columns.map(nameOf)
    const rows = [...this.#rows].map(([title, words]) => [title, ...heads.map((head) => words.get(head) ?? '-')])
    const all = [['Multus case', ...heads], ...rows]
    const widths = ['', ...heads].map((_, index) => Math.max(...all.map((row) => row[index]?.length ?? 0)))
    const line = (cells: readonly string[]): string =>
      `| ${cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join(' | ')} |`
    const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`
    return [line(all[0] ?? []), rule, ...all.slice(1).map(line), ''].join('\n')
  }
}
