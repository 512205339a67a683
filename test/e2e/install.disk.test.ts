/** Disks that are full or read-only, with the packaged program: what was installed works on, and what failed has left nothing. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { applySteps } from '../../install/apply.ts'
import { readFileSet } from '../../install/file-set.ts'
import { planInstall } from '../../install/plan.ts'
import { surveyOf } from '../../install/survey.ts'
import { filesOf } from '../install/node.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { Image } from './image.ts'

let image: Image
beforeAll(() => {
  image = new Image()
})
afterAll(() => image[Symbol.dispose]())

/** A folder of plugins on a small disk of its own, where a small version is installed. */
function smallDisk(size: string): string {
  const binDir = temporaryDirectory()
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', binDir])
  onTestFinished(() => void execFileSync('umount', [binDir]))
  expect(install(binDir, filesOf('one')).status).toBe(0)
  return binDir
}

function install(binDir: string, from: string, ...more: string[]) {
  const confDir = join(binDir, 'conf')
  const args = ['install', '--from', from, '--cni-bin-dir', binDir, '--cni-conf-dir', confDir, ...more]
  return spawnSync(join(image.home, 'berth'), args, { encoding: 'utf8' })
}

const usedBlocks = (path: string): number => {
  const { blocks, bfree } = statfsSync(path)
  return blocks - bfree
}

test('an installation says how much room it needs, and changes nothing, when there is too little', () => {
  const binDir = smallDisk('60m')
  const before = usedBlocks(binDir)
  const done = install(binDir, image.home)
  expect(done.status).toBe(1)
  expect(done.stderr).toMatch(/^berth install: Cannot copy into ".*": 12\d{7} bytes are needed, 62\d{6} are free\n$/)
  expect([readFileSync(join(binDir, 'berth'), 'utf8'), usedBlocks(binDir)]).toEqual(['berth of one', before])
})

test('an installation leaves nothing, and what was there works on, when the disk fills up in the middle of a copy', () => {
  const binDir = smallDisk('60m')
  const before = usedBlocks(binDir)
  const wish = {
    ...{ binDir, ownConfDir: join(binDir, 'conf', 'berth.d'), aliases: [], aliasPrimary: false },
    ...{ defaults: undefined, kubeconfig: undefined, force: false },
  }
  const set = readFileSet(image.home, '2')
  // There was room when it looked.
  const survey = { ...surveyOf(binDir, wish.ownConfDir, set, ['berth']), freeBytes: Number.MAX_SAFE_INTEGER }
  const steps = planInstall(wish, set, survey)
  expect(() => applySteps(steps, { ...wish, set }, () => undefined)).toThrow(
    /^Cannot copy berth \(\d+ bytes\): ENOSPC: no space left on device/,
  )
  expect([readFileSync(join(binDir, 'berth'), 'utf8'), usedBlocks(binDir)]).toEqual(['berth of one', before])
  expect(readdirSync(join(binDir, '.berth')).filter((name) => name.startsWith('.new,'))).toEqual([])
})

test('an installation says that the folder is read-only, and a dry run shows the plan all the same', () => {
  const binDir = smallDisk('10m')
  execFileSync('mount', ['-o', 'remount,ro', binDir])
  const done = install(binDir, filesOf('two'))
  expect([done.status, done.stderr]).toEqual([
    1,
    expect.stringMatching(/^berth install: Cannot .*EROFS: read-only file system/),
  ])
  const dry = install(binDir, filesOf('two'), '--dry-run')
  expect([dry.status, dry.stderr]).toEqual([0, ''])
  expect(dry.stdout).toMatch(/^would copy berth \(\d+ bytes\)$[\s\S]*^would switch from \S+ to \S+$/m)
})

test('an installation that cannot write its config has installed the plugins, and says what is missing', () => {
  const binDir = temporaryDirectory()
  writeFileSync(join(binDir, 'conf'), '')
  const done = install(binDir, filesOf('one'))
  expect([done.status, done.stderr]).toEqual([1, expect.stringMatching(/Cannot make directory .*conf\/berth\.d: /)])
  expect(readFileSync(join(binDir, 'berth'), 'utf8')).toBe('berth of one')
})

test('--uninstall leaves what is not ours, where there is nothing of ours, too', () => {
  const binDir = temporaryDirectory()
  mkdirSync(join(binDir, 'conf'))
  writeFileSync(join(binDir, 'macvlan'), 'of somebody')
  for (const _ of [1, 2]) expect(install(binDir, image.home, '--uninstall').status).toBe(0)
  expect(readdirSync(binDir).sort()).toEqual(['conf', 'macvlan'])
  const nowhere = join(binDir, 'nowhere')
  expect(install(nowhere, image.home, '--uninstall').status).toBe(0)
  expect(existsSync(nowhere)).toBe(false)
})
