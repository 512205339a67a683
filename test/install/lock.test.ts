import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { takeInstallLock } from '../../install/lock.ts'
import { temporaryDirectory } from '../shared/temporary.ts'

test('takeInstallLock() keeps the second out after the first has removed the folder, as an uninstallation does', async () => {
  const binDir = temporaryDirectory()
  const first = await takeInstallLock(binDir)
  const second = takeInstallLock(binDir)
  rmSync(join(binDir, '.berth'), { recursive: true })
  // Made anew by a third one, who has it.
  const third = await takeInstallLock(binDir)
  first[Symbol.dispose]()
  let got = false
  void second.then(() => {
    got = true
  })
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect([got, existsSync(join(binDir, '.berth/lock'))]).toEqual([false, true])
  third[Symbol.dispose]()
  const held = await second
  held[Symbol.dispose]()
})

test('takeInstallLock() says once what is in the way', async () => {
  const binDir = temporaryDirectory()
  using _held = await takeInstallLock(binDir)
  await expect(takeInstallLock(binDir, 0)).rejects.toThrow(
    new Error(`Cannot install into "${binDir}": another installer is at work there`),
  )
  const other = temporaryDirectory()
  mkdirSync(join(other, '.berth/lock'), { recursive: true })
  await expect(takeInstallLock(other)).rejects.toThrow(/^Cannot write into "[^"]+\.berth": EISDIR/)
})
