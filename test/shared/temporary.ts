import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { onTestFinished } from 'vitest'

/** A new directory that is removed when the test that asked for it has ended. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(`${tmpdir()}/berth-test-`)
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}
