/**
 * `berth install`: puts the plugins on a node. A program text of its own; from the sources, `node install/main.ts --from dist/cni`.
 */
import { dirname, join } from 'node:path'
import { readCredentials, renderKubeconfig } from '../shared/kubeconfig.ts'
import { setLogLevel } from '../shared/log.ts'
import { messageOf } from '../shared/message.ts'
import { ownConfName } from '../shared/node-config.ts'
import { writeAll } from '../shared/write.ts'
import { clusterWarning } from './api-server.ts'
import { applySteps, takeInstallLock } from './apply.ts'
import { readFileSet } from './file-set.ts'
import { statOf } from './files.ts'
import { type FileSet, ownFolder } from './layout.ts'
import { type InstallWish, readCommandLine, usage } from './options.ts'
import { placesOf } from './places.ts'
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
  const { binDir, confDir, known } = placesOf(wish)
  const ownConfDir = join(confDir, ownConfName)
  say(`plugins: ${binDir}, configs: ${confDir} (${known})`)
  const set = wish.uninstall ? noFiles : readFileSet(wish.from, version)
  const credentials = wish.serviceAccount && readCredentials(wish.serviceAccount)
  const planWish: PlanWish = {
    ...{ binDir, ownConfDir },
    aliases: wish.aliases,
    defaults: wish.defaults,
    kubeconfig: credentials && renderKubeconfig(credentials),
    force: wish.force,
  }
  const plan = (): Step[] => {
    const survey = surveyOf(binDir, ownConfDir, set, [...wishedNames(set, wish.aliases).keys()])
    return wish.uninstall ? planUninstall(survey, wish.leases) : planInstall(planWish, set, survey)
  }
  if (wish.dryRun) {
    for (const step of plan()) say(`would ${describe(step, planWish)}`)
    return
  }
  // Where nothing is installed, looking for it makes nothing either.
  const isThere = statOf(join(binDir, ownFolder)) !== undefined
  using _lock = wish.uninstall && !isThere ? undefined : await lock(binDir)
  applySteps(plan(), { ...planWish, set }, say)
  say(wish.uninstall ? 'nothing of ours is left' : `installed ${set.id}`)
  const warning = credentials && (await clusterWarning(credentials))
  if (warning !== undefined) say(`warning: ${warning}`)
}

async function lock(binDir: string): Promise<Disposable> {
  try {
    return await takeInstallLock(binDir)
  } catch (error) {
    throw new Error(`Cannot write into "${binDir}": ${messageOf(error)}`, { cause: error })
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2), 'sources')
