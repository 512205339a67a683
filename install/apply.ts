/** Carries out the steps of a plan, one after the other; each is on the disk when the next begins. */
import { rmdirSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { currentName, ownFolder } from '../shared/aliases.ts'
import {
  isErrno,
  makePublicDirectory,
  moveName,
  removeDirectory,
  removeName,
  replaceDurable,
  syncDirectory,
} from '../shared/disk.ts'
import { messageOf } from '../shared/message.ts'
import { copyVerified, keepAs, linkTo, statOf } from './files.ts'
import { type FileSet, goneName, passing, previousName, replacedName, sumsName } from './layout.ts'
import { removeLeases } from './leases.ts'
import { describe, type PlanWish, type Step } from './plan.ts'

type Targets = Pick<PlanWish, 'binDir' | 'ownConfDir'> & { readonly set: FileSet }

/** A passing name in our folder, which is of the same file system. */
const passingName = (own: string, name: string): string => join(own, `${passing}${name}`)

function link(step: Extract<Step, { do: 'link' }>, binDir: string, own: string): void {
  const path = join(binDir, step.name)
  if (step.keeps) {
    makePublicDirectory(join(own, replacedName))
    keepAs(path, join(own, replacedName, step.name))
  }
  linkTo(step.target, path, passingName(own, step.name))
}

/** What comes back takes the name's place at one instant. */
function unlink(step: Extract<Step, { do: 'unlink' }>, binDir: string, own: string): void {
  if (step.restores) moveName(join(own, replacedName, step.name), join(binDir, step.name))
  else removeName(join(binDir, step.name))
  syncDirectory(binDir)
}

function copy({ file }: Extract<Step, { do: 'copy' }>, { from }: FileSet, version: string): void {
  const { name, source, sha256, executable } = file
  copyVerified(join(from, source), join(version, name), executable ? 0o755 : 0o644, sha256)
}

function switchTo(step: Extract<Step, { do: 'switch' }>, own: string): void {
  const before = step.from === undefined ? undefined : join(own, step.from)
  if (step.from !== undefined && before !== undefined && statOf(before) !== undefined) {
    // It rests from now on, as whoever has begun with it may still need it; a kill between leaves it the one that counts.
    const now = new Date()
    utimesSync(before, now, now)
    linkTo(step.from, join(own, previousName), passingName(own, previousName))
  }
  linkTo(step.to, join(own, currentName), passingName(own, currentName))
}

/** Half a folder is never under a name that counts: it gets a passing one first. */
function removeWhole(path: string, passingPath: string): void {
  removeDirectory(passingPath)
  moveName(path, passingPath)
  syncDirectory(join(path, '..'))
  removeDirectory(passingPath)
}

/** Our folder in the one for configs, unless somebody keeps something else there. */
function removeEmpty(folder: string): void {
  try {
    rmdirSync(folder)
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTEMPTY')) throw error
  }
}

function carryOut(step: Step, { binDir, ownConfDir, set }: Targets): void {
  const own = join(binDir, ownFolder)
  const version = join(own, set.id)
  switch (step.do) {
    case 'make directory':
      makePublicDirectory(step.path)
      break
    case 'remove left over':
      removeDirectory(step.path)
      break
    case 'remove version':
      removeWhole(join(own, step.id), passingName(own, step.id))
      break
    case 'copy':
      copy(step, set, version)
      break
    case 'write checksums':
      replaceDurable(join(version, sumsName), step.text)
      break
    case 'switch':
      switchTo(step, own)
      break
    case 'link':
      link(step, binDir, own)
      break
    case 'unlink':
      unlink(step, binDir, own)
      break
    case 'write config':
      replaceDurable(join(ownConfDir, step.name), step.text)
      break
    case 'remove config':
      removeName(join(ownConfDir, step.name))
      syncDirectory(ownConfDir)
      break
    case 'remove empty directory':
      removeEmpty(step.path)
      break
    case 'remove own folder':
      removeWhole(own, join(binDir, goneName))
      break
    case 'remove leases':
      removeLeases(step.path)
      break
  }
}

/** A version without its checksums that was never current has no user: what is no use must not fill the disk. */
function dropIncomplete(steps: readonly Step[], { binDir, set }: Targets): void {
  const version = join(binDir, ownFolder, set.id)
  const counts = !steps.some((step) => step.do === 'switch')
  if (!counts && statOf(join(version, sumsName)) === undefined) removeDirectory(version)
}

/** Throws an Error that names the step that failed and why; what was installed before it works on. `onStep` is told of each step that is done. */
export function applySteps(steps: readonly Step[], targets: Targets, onStep: (line: string) => void): void {
  for (const step of steps) {
    const line = describe(step, targets)
    try {
      carryOut(step, targets)
    } catch (error) {
      if (step.do === 'copy') dropIncomplete(steps, targets)
      throw new Error(`Cannot ${line}: ${messageOf(error)}`, { cause: error })
    }
    onStep(line)
  }
}
