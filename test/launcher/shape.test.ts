/** What the launcher's source and its executable may be. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { archOf, compileLauncher } from '../../packaging/launcher.ts'
import { newestVersion } from '../../shared/cni/versions.ts'
import { defaultDataDir } from '../../shared/data-dir.ts'
import { root } from '../house/sources.ts'

const folder = mkdtempSync(join(tmpdir(), 'berth-launcher-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const source = readFileSync(join(root, 'launcher', 'launcher.c'), 'utf8')

test('launcher.c has at most 250 lines of at most 132 characters', () => {
  const lines = source.trimEnd().split('\n')
  expect(lines.length).toBeLessThanOrEqual(250)
  expect(lines.filter((line) => line.length > 132)).toEqual([])
})

test('launcher.c needs no header but those that every compiler brings', () => {
  expect([...source.matchAll(/#include (.*)/g)].map(([, header]) => header)).toEqual([
    '<stdbool.h>',
    '<stddef.h>',
    '<stdint.h>',
  ])
})

test("launcher.c has the data directory, the CNI version and the protocol's limits that the others have", () => {
  expect(source).toContain(`#define DATA_DIR "${defaultDataDir}"\n`)
  expect(source).toContain(`{\\"cniVersion\\":\\"${newestVersion}\\"`)
  const limits = readFileSync(join(root, 'agent', 'PROTOCOL.md'), 'utf8')
  for (const [row, line] of [
    ['the hello comes within | 250 ms', '#define HELLO_MS 250\n'],
    ['the reply comes within | 60 s', '#define REPLY_MS 60000\n'],
    ['head | 16 KiB', 'HEAD_BYTES = 16 << 10'],
    ['input | 1 MiB', 'INPUT_BYTES = 1 << 20'],
    ['output | 1 MiB', 'OUTPUT_BYTES = 1 << 20'],
  ] as const) {
    expect(limits).toContain(`| ${row} |`)
    expect(source).toContain(line)
  }
})

test('the launcher is one small file that needs no other, and whose stack nobody executes', () => {
  const launcher = join(folder, 'berth-macvlan')
  compileLauncher(launcher, archOf(process.arch))
  expect(statSync(launcher).size).toBeLessThan(8192)
  const elf = readFileSync(launcher)
  const [at, size, count] = [Number(elf.readBigUInt64LE(32)), elf.readUInt16LE(54), elf.readUInt16LE(56)]
  const headers = Array.from({ length: count }, (_, index) => ({
    type: elf.readUInt32LE(at + index * size),
    flags: elf.readUInt32LE(at + index * size + 4),
  }))
  // PT_LOAD twice, code and memory, never both writable and executable; PT_GNU_STACK; no interpreter, nothing dynamic.
  expect(headers).toEqual([
    { type: 1, flags: 5 },
    { type: 1, flags: 6 },
    { type: 0x6474e551, flags: 6 },
  ])
  const info = execFileSync('gcc', ['-dumpmachine'], { encoding: 'utf8' }).trim()
  expect(elf.readUInt16LE(18)).toBe(info.startsWith('aarch64') ? 183 : 62)
})
