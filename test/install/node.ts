/** A node's folders and something to install on it, both small and made up. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { applySteps } from '../../install/apply.ts'
import { readFileSet } from '../../install/file-set.ts'
import type { FileSet } from '../../install/layout.ts'
import { takeInstallLock } from '../../install/lock.ts'
import { describe, type PlanWish, planInstall, planUninstall, wishedNames } from '../../install/plan.ts'
import { surveyOf } from '../../install/survey.ts'
import { temporaryDirectory } from '../shared/temporary.ts'

/** A folder with a program, two plugins and a library, of a version that its text tells. */
export function filesOf(version: string, folder = temporaryDirectory()): string {
  mkdirSync(join(folder, 'lib'), { recursive: true })
  for (const name of ['berth', 'berth-macvlan', 'berth-ipam', 'lib/ld.so'])
    writeFileSync(join(folder, name), `${name} of ${version}`, { mode: 0o755 })
  writeFileSync(join(folder, 'lib/libc.so.6'), `libc of ${version}`, { mode: 0o644 })
  return folder
}

export class Node {
  readonly root = temporaryDirectory()
  readonly binDir = join(this.root, 'bin')
  readonly own = join(this.binDir, '.berth')
  readonly ownConfDir = join(this.root, 'conf', 'berth.d')

  set(from: string): FileSet {
    return readFileSet(from, '1.0.0')
  }

  wish(more: Partial<PlanWish> = {}): PlanWish {
    const { binDir, ownConfDir } = this
    return {
      binDir,
      ownConfDir,
      aliases: [],
      aliasPrimary: false,
      defaults: undefined,
      kubeconfig: undefined,
      force: false,
      ...more,
    }
  }

  /** What would be done, as lines. */
  plan(from: string, more: Partial<PlanWish> = {}): string[] {
    const [set, wish] = [this.set(from), this.wish(more)]
    return planInstall(wish, set, this.survey(set, wish)).map((step) => describe(step, wish))
  }

  survey(set: FileSet, wish: PlanWish) {
    return surveyOf(this.binDir, this.ownConfDir, set, wishedNames(set, wish.aliases))
  }

  /** Returns what was done. */
  async install(from: string, more: Partial<PlanWish> = {}): Promise<string[]> {
    const [set, wish] = [this.set(from), this.wish(more)]
    using _lock = await takeInstallLock(this.binDir)
    const lines: string[] = []
    applySteps(planInstall(wish, set, this.survey(set, wish)), { ...wish, set }, (line) => lines.push(line))
    return lines
  }

  async uninstall(leases?: string): Promise<void> {
    const set = { from: '', id: '-', files: [] }
    using _lock = await takeInstallLock(this.binDir)
    applySteps(
      planUninstall(this.survey(set, this.wish()), this.ownConfDir, leases),
      { ...this.wish(), set },
      () => undefined,
    )
  }
}
