/** Tables and JSON for people at a terminal, whose values may come from anybody. */

/** Controls, invisible formatting, line and paragraph separators: they would forge a row or move the terminal's cursor. */
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** The text on one line, without anything that a terminal obeys. */
export const printable = (text: string): string => text.replace(unprintable, '?')

/** Columns as wide as their widest cell, two spaces apart, no spaces at the ends of lines. */
export function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [columns, ...rows].map((row) => row.map(printable))
  const widths = columns.map((_, column) => cells.reduce((width, row) => Math.max(width, row[column]?.length ?? 0), 0))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return `${cells.map(line).join('\n')}\n`
}

/** JSON of several lines, with what a terminal would obey as escapes. */
export const json = (value: unknown): string =>
  `${JSON.stringify(value, undefined, 2)
    .split('\n')
    .map((line) => line.replace(unprintable, escaped))
    .join('\n')}\n`

const escaped = (character: string): string =>
  character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('')

/** `3 leases`, `1 lease`. */
export const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`
