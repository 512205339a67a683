import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { withTables } from '../../scripts/tables.ts'
import { programSources, readDocument, root, type Source, sources } from './sources.ts'

const fileMaxLines = 300
const functionMaxLines = 70

const withoutLast = ({ lines }: Source): number => lines.length - 1

test(`no file is longer than ${fileMaxLines} lines`, () => {
  expect(sources.filter((source) => withoutLast(source) > fileMaxLines).map(({ path }) => path)).toEqual([])
})

test('the median file of the program has at most 120 lines', () => {
  const lengths = programSources.map(withoutLast).sort((a, b) => a - b)
  expect(lengths[Math.floor(lengths.length / 2)]).toBeLessThanOrEqual(120)
})

const heads = [
  /^(\s*)(?:export )?(?:async )?function\*? (\w+)/,
  /^(\s*)(?:export )?const (\w+) = (?:async )?\(.*=> \{$/,
  /^(\s+)(?:static )?(?:async )?(#?\w+)\([^)]*\)(?:: .+)? \{$/,
]

/** Functions and methods by their indentation, which the formatter guarantees: from the head to the closing brace. */
function functionsOf({ path, lines }: Source): { name: string; length: number }[] {
  return lines.flatMap((line, start) => {
    const head = heads.map((pattern) => pattern.exec(line)).find((match) => match !== null)
    if (head === undefined || /^\s*(?:if|for|while|switch|catch)\b/.test(line)) return []
    const end = lines.findIndex((other, index) => index > start && other === `${head[1]}}`)
    return end < 0 ? [] : [{ name: `${path}: ${head[2]}`, length: end - start + 1 }]
  })
}

test(`no function is longer than ${functionMaxLines} lines`, () => {
  const functions = sources.flatMap(functionsOf)
  expect(functions.length).toBeGreaterThan(200)
  expect(functions.filter(({ length }) => length > functionMaxLines)).toEqual([])
})

/** Words that must not stand in a source, with what to do instead. This file has to spell them. */
const banned: [RegExp, string][] = [
  [/\b(TO)DO\b|\bFIX(ME)\b|\bX{3}\b/, 'do it, or write down why not'],
  [/\bas any\b|: any\b|<any>/, 'unknown, and a guard'],
  [/@ts-(ignore|nocheck|expect-error)/, 'a type that is true'],
  [/\b(test|it|describe)\.(only|skip)\(/, 'a condition that says aloud why'],
]

test.each(banned)('no source has %s', (pattern) => {
  const others = sources.filter(({ path }) => !path.endsWith('house/habits.test.ts'))
  const hits = others.flatMap(({ path, lines }) =>
    lines.flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  )
  expect(hits).toEqual([])
})

test('the tables of README.md are those of the sources', () => {
  const readme = readDocument('README.md')
  // `make docs` writes them.
  expect(readme).toBe(withTables(readme))
})

test('every path that ARCHITECTURE.md names exists', () => {
  const named = [...readDocument('ARCHITECTURE.md').matchAll(/`((?:[\w-]+\/)+(?:[\w-]+\.\w+)?|[\w-]+\.ts)`/g)].map(
    (match) => match[1] ?? '',
  )
  expect(named.length).toBeGreaterThan(20)
  expect(
    named.filter((path) => !path.startsWith('dist/') && !path.startsWith('leases/') && !existsSync(join(root, path))),
  ).toEqual([])
})
