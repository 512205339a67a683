/** The yardstick of a start-up: an empty program, packed exactly as ours is. */
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
