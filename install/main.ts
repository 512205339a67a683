/**
 * `berth install`: puts the plugins on a node. A program text of its own; from the sources, `node install/main.ts --from dist/cni`.
 */
import { dirname, join } from 'node:path'
import { ownFolder } from '../shared/aliases.ts'
import { readCredentials, renderKubeconfig } from '../shared/kubeconfig.ts'
import { setLogLevel } from '../shared/log.ts'
import { messageOf } from '../shared/message.ts'
import { ownConfName } from '../shared/node-config.ts'
import { writeAll } from '../shared/write.ts'
import { clusterWarning } from './api-server.ts'
import { applySteps } from './apply.ts'
import { readFileSet } from './file-set.ts'
import { realPathOf, statOf } from './files.ts'
import type { FileSet } from './layout.ts'
import { checkLeases } from './leases.ts'
import { takeInstallLock } from './lock.ts'
import { type InstallWish, readCommandLine, usage } from './options.ts'
import { checkDefaultsPlace, placesOf } from './places.ts'
import { describe, type PlanWish, planInstall, planUninstall, type Step, wishedNames } from './plan.ts'
import { surveyOf } from './survey.ts'

const noFiles: FileSet = { from: '', id: '-', files: [] }

/** Runs one command line and returns the exit code: 0 done, 1 failed, 2 a command line that cannot be read. */
export async function main(args: readonly string[], version: string): Promise<number> {
  const { env } = process
  setLogLevel(env.BERTH_LOG ?? 'info')
  let wish: InstallWish | undefined
  try {
    wish = readCommandLine(args, env, dirname(process.execPath))
  } catch (error) {
    writeAll(2, `berth install: ${messageOf(error)}\n\n${usage}`)
    return 2
  }
  if (wish === undefined) {
    writeAll(1, usage)
    return 0
  }
  try {
    await run(wish, version)
    return 0
  } catch (error) {
    writeAll(2, `berth install: ${messageOf(error)}\n`)
    return 1
  }
}

const say = (line: string): void => writeAll(1, `${line}\n`)

async function run(wish: InstallWish, version: string): Promise<void> {
  const places = placesOf(wish)
  if (wish.defaults !== undefined) checkDefaultsPlace(places.confDir)
  const [binDir, confDir] = [realPathOf(places.binDir), realPathOf(places.confDir)]
  const ownConfDir = join(confDir, ownConfName)
  say(`plugins: ${binDir}, configs: ${confDir} (${places.known})`)
  const set = wish.uninstall ? noFiles : readFileSet(wish.from, version)
  const credentials = wish.serviceAccount && readCredentials(wish.serviceAccount)
  const planWish: PlanWish = {
    ...{ binDir, ownConfDir },
    aliases: wish.aliases,
    aliasPrimary: wish.aliasPrimary,
    defaults: wish.defaults,
    kubeconfig: credentials && renderKubeconfig(credentials),
    force: wish.force,
  }
  const plan = (): Step[] => {
    const survey = surveyOf(binDir, ownConfDir, set, wishedNames(set, wish.aliases))
    if (!wish.uninstall) return planInstall(planWish, set, survey)
    if (wish.leases !== undefined) checkLeases(wish.leases, wish.force)
    return planUninstall(survey, ownConfDir, wish.leases)
  }
  if (wish.dryRun) {
    for (const step of plan()) say(`would ${describe(step, planWish)}`)
    return
  }
  // Where nothing is installed, nothing is made before it is known that it can be; and looking for what may be removed makes nothing.
  const isThere = statOf(join(binDir, ownFolder)) !== undefined
  if (!isThere) plan()
  using _lock = wish.uninstall && !isThere ? undefined : await takeInstallLock(binDir)
  applySteps(plan(), { ...planWish, set }, say)
  say(wish.uninstall ? 'nothing of ours is left' : `installed ${set.id}`)
  const warning = credentials && (await clusterWarning(credentials))
  if (warning !== undefined) say(`warning: ${warning}`)
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2), 'sources')
