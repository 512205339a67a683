/**
 * The yardstick of a start-up: an empty program, packed as pkg packs one. With ours it shares Node, not the options of it that make
 * ours start sooner: they would make nothing start sooner as well.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pack, work } from './build.ts'

/** Packs it and returns its path. */
export async function nothing(): Promise<string> {
  const program = join(work, 'nothing')
  mkdirSync(work, { recursive: true })
  writeFileSync(`${program}.cjs`, '')
  await pack(`${program}.cjs`, program)
  return program
}
