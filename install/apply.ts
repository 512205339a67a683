/** Carries out the steps of a plan, one after the other; each is on the disk when the next begins. */
import { closeSync, constants, openSync, rmdirSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { isErrno, moveName, removeDirectory, removeName, replaceDurable, syncDirectory } from '../shared/disk.ts'
import { tryFlock } from '../shared/host/libc.ts'
import { messageOf } from '../shared/message.ts'
import { copyVerified, keepAs, linkTo, makePublicDirectory, passing, statOf } from './files.ts'
import { currentName, type FileSet, lockName, ownFolder, replacedName, sumsName } from './layout.ts'
import { describe, type PlanWish, type Step } from './plan.ts'

const lockWaitMs = 60_000
const lockPauseMs = 50

/** Holds what keeps a second installer out until it is disposed of, or its process dies. Throws an Error after a minute. */
export async function takeInstallLock(binDir: string): Promise<Disposable> {
  const own = join(binDir, ownFolder)
  makePublicDirectory(own)
  const fd = openSync(join(own, lockName), constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
  for (let waitedMs = 0; !tryFlock(fd); waitedMs += lockPauseMs) {
    if (waitedMs >= lockWaitMs) {
      closeSync(fd)
      throw new Error(`Cannot install into "${binDir}": another installer is at work there`)
    }
    await pause(lockPauseMs)
  }
  return { [Symbol.dispose]: () => closeSync(fd) }
}

type Targets = Pick<PlanWish, 'binDir' | 'ownConfDir'> & { readonly set: FileSet }

/** A link's passing name: in our folder, which is of the same file system. */
const passingLink = (own: string, name: string): string => join(own, `${passing}${name}`)

function link(step: Extract<Step, { do: 'link' }>, binDir: string, own: string): void {
  const path = join(binDir, step.name)
  if (step.keeps) {
    makePublicDirectory(join(own, replacedName))
    keepAs(path, join(own, replacedName, step.name))
  }
  linkTo(step.target, path, passingLink(own, step.name))
}

/** What comes back takes the name's place at one instant. */
function unlink(step: Extract<Step, { do: 'unlink' }>, binDir: string, own: string): void {
  if (step.restores) moveName(join(own, replacedName, step.name), join(binDir, step.name))
  else removeName(join(binDir, step.name))
  syncDirectory(binDir)
}

function copy({ file }: Extract<Step, { do: 'copy' }>, { from }: FileSet, version: string): void {
  const { name, sha256, executable } = file
  copyVerified(join(from, name), join(version, name), executable ? 0o755 : 0o644, sha256)
}

function switchTo(step: Extract<Step, { do: 'switch' }>, own: string): void {
  linkTo(step.to, join(own, currentName), passingLink(own, currentName))
  // From now on it rests: whoever has begun with it may still need it.
  const before = step.from === undefined ? undefined : join(own, step.from)
  const now = new Date()
  if (before !== undefined && statOf(before) !== undefined) utimesSync(before, now, now)
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
      removeName(step.path)
      break
    case 'remove version':
      removeDirectory(join(own, step.id))
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
      removeEmpty(ownConfDir)
      break
    case 'remove own folder':
      removeDirectory(own)
      break
    case 'remove leases':
      removeDirectory(step.path)
      break
  }
}

/** A version without its checksums was never complete, so nobody uses it: what is no use must not fill the disk. */
function dropIncomplete({ binDir, set }: Targets): void {
  const version = join(binDir, ownFolder, set.id)
  if (statOf(join(version, sumsName)) === undefined) removeDirectory(version)
}

/** Throws an Error that names the step that failed and why; what was installed before it works on. `onStep` is told of each step that is done. */
export function applySteps(steps: readonly Step[], targets: Targets, onStep: (line: string) => void): void {
  for (const step of steps) {
    const line = describe(step, targets)
    try {
      carryOut(step, targets)
    } catch (error) {
      if (step.do === 'copy') dropIncomplete(targets)
      throw new Error(`Cannot ${line}: ${messageOf(error)}`, { cause: error })
    }
    onStep(line)
  }
}
