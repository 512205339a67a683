/** From what is wished and what is there to the steps between, in an order in which every step leaves a working set. Pure. */
import { linkTarget, ownFolder, ownName } from '../shared/aliases.ts'
import { isPrivate } from '../shared/kubeconfig.ts'
import { nodeConfigName as configName } from '../shared/node-config.ts'
import { type FileSet, isOwnTarget, librariesName, type SetFile, sumsName, sumsOf } from './layout.ts'
import type { Occupant, Survey } from './survey.ts'

export type Step =
  | { readonly do: 'make directory'; readonly path: string }
  | { readonly do: 'remove left over'; readonly path: string }
  | { readonly do: 'remove version'; readonly id: string }
  | { readonly do: 'copy'; readonly file: SetFile }
  | { readonly do: 'write checksums'; readonly text: string }
  | { readonly do: 'switch'; readonly from: string | undefined; readonly to: string }
  | { readonly do: 'link'; readonly name: string; readonly target: string; readonly keeps: boolean }
  | { readonly do: 'unlink'; readonly name: string; readonly restores: boolean }
  | { readonly do: 'write config'; readonly name: string; readonly text: string }
  | { readonly do: 'remove config'; readonly name: string }
  | { readonly do: 'remove empty directory'; readonly path: string }
  | { readonly do: 'remove own folder' }
  | { readonly do: 'remove leases'; readonly path: string }

/** Besides berth.conf, in our folder of the one for configs. */
const kubeconfigName = 'berth.kubeconfig'

/** A call that has begun with a version may still execute its program: it waits a minute at most for an agent. */
const restMs = 10 * 60_000

export interface PlanWish {
  readonly binDir: string
  readonly ownConfDir: string
  readonly aliases: readonly string[]
  /** Also those that the node's own networks use. */
  readonly aliasPrimary: boolean
  readonly defaults: string | undefined
  readonly kubeconfig: string | undefined
  readonly force: boolean
}

/** The names that are to be there, each that of a file of the version. */
export function wishedNames(set: FileSet, aliases: readonly string[]): string[] {
  const own = set.files.filter(({ name, source }) => name === source && !name.includes('/')).map(({ name }) => name)
  for (const alias of aliases) {
    if (!own.includes(ownName(alias))) {
      throw new Error(`Cannot answer as "${alias}": there is no "${ownName(alias)}" in "${set.from}"`)
    }
  }
  return [...own, ...aliases]
}

/** Throws an Error for an alias that would take over a network of the node itself, unless that is wished, or so already. */
function checkPrimary({ aliases, aliasPrimary }: PlanWish, { inUse, occupants }: Survey): void {
  if (aliasPrimary) return
  const taken = aliases.find((name) => inUse.has(name) && occupants.get(name)?.kind !== 'ours')
  if (taken === undefined) return
  const why = `"${inUse.get(taken)}" uses it, and may be the cluster's own network (--alias-primary takes that over as well)`
  throw new Error(`Cannot answer as "${taken}": ${why}`)
}

/** Throws an Error that names all that is in the way. */
function checkOccupants(wish: PlanWish, occupants: ReadonlyMap<string, Occupant>, names: readonly string[]): void {
  const foreign = names.filter((name) => occupants.get(name)?.kind === 'foreign')
  const directories = names.filter((name) => occupants.get(name)?.kind === 'directory')
  const quoted = (list: readonly string[]): string => list.map((name) => `"${wish.binDir}/${name}"`).join(', ')
  if (directories.length > 0) throw new Error(`Cannot replace ${quoted(directories)}: it is a directory`)
  if (foreign.length > 0 && !wish.force) {
    const how = '--force takes its place, and --uninstall gives it back'
    throw new Error(`Cannot replace ${quoted(foreign)}: it is not from this installer (${how})`)
  }
}

function linkSteps(wished: readonly string[], occupants: Survey['occupants']): Step[] {
  return wished.flatMap((name): Step[] => {
    const occupant = occupants.get(name) ?? { kind: 'absent' }
    const target = linkTarget(name)
    if (occupant.kind === 'ours' && occupant.target === target) return []
    return [{ do: 'link', name, target, keeps: occupant.kind === 'foreign' }]
  })
}

/** Removes the names that are ours and not wished; what they took the place of comes back. */
function unlinkSteps(survey: Survey, isWished: (name: string) => boolean): Step[] {
  return [...survey.occupants]
    .filter(([name, occupant]) => occupant.kind === 'ours' && isOwnTarget(occupant.target) && !isWished(name))
    .map(([name]) => ({ do: 'unlink', name, restores: survey.replaced.has(name) }))
}

/** The versions that go: the last one stays to go back to, and those that calls may still use. */
function oldVersions({ versions, current, previous }: Survey, id: string): Survey['versions'] {
  const last = current === id || current === undefined ? previous : current
  return versions.filter((version) => ![id, current, last].includes(version.id) && version.idleMs > restMs)
}

function configSteps({ ownConfDir, defaults, kubeconfig }: PlanWish, configs: Survey['configs']): Step[] {
  const config = defaults ?? (configs.has(configName) ? undefined : '{}\n')
  const isRight = (name: string, text: string): boolean => {
    const there = configs.get(name)
    return there?.text === text && (name !== kubeconfigName || isPrivate(there.mode))
  }
  const wanted = [
    [configName, config],
    [kubeconfigName, kubeconfig],
  ] as const
  const writes = wanted.flatMap(([name, text]): Step[] =>
    text === undefined || isRight(name, text) ? [] : [{ do: 'write config', name, text }],
  )
  return writes.length === 0 ? [] : [{ do: 'make directory', path: ownConfDir }, ...writes]
}

const bytesIn = (list: readonly { readonly bytes: number }[]): number => list.reduce((sum, { bytes }) => sum + bytes, 0)

/** `freeBytes`: with what is removed before anything is copied. */
function checkRoom(binDir: string, bytes: number, freeBytes: number): void {
  if (bytes <= freeBytes) return
  throw new Error(`Cannot copy into "${binDir}": ${bytes} bytes are needed, ${freeBytes} are free`)
}

/** Throws an Error when something is in the way, or there is no room for it. */
export function planInstall(wish: PlanWish, set: FileSet, survey: Survey): Step[] {
  const wished = wishedNames(set, wish.aliases)
  checkOccupants(wish, survey.occupants, wished)
  checkPrimary(wish, survey)
  const copies = set.files.filter(({ name }) => !survey.good.has(name))
  const old = oldVersions(survey, set.id)
  checkRoom(wish.binDir, bytesIn(copies), survey.freeBytes + bytesIn(survey.leftovers) + bytesIn(old))
  const own = `${wish.binDir}/${ownFolder}`
  const folders = [wish.binDir, `${own}/${set.id}/${librariesName}`]
  const sums = survey.good.has(sumsName) ? [] : [{ do: 'write checksums', text: sumsOf(set.files) } as const]
  return [
    ...survey.leftovers.map(({ path }): Step => ({ do: 'remove left over', path })),
    ...old.map(({ id }): Step => ({ do: 'remove version', id })),
    ...(copies.length + sums.length === 0 ? [] : folders.map((path): Step => ({ do: 'make directory', path }))),
    ...copies.map((file): Step => ({ do: 'copy', file })),
    ...sums,
    // Before the switch: a name whose file the new version does not have would lead nowhere.
    ...unlinkSteps(survey, (name) => wished.includes(name)),
    ...(survey.current === set.id ? [] : [{ do: 'switch', from: survey.current, to: set.id } as const]),
    // After it: a name must not be there before what it leads to.
    ...linkSteps(wished, survey.occupants),
    ...configSteps(wish, survey.configs),
  ]
}

/** Names first, so that nobody finds one that leads nowhere; leases last. */
export function planUninstall(survey: Survey, ownConfDir: string, leases: string | undefined): Step[] {
  const outside = survey.leftovers.filter(({ path }) => !path.includes(`/${ownFolder}/`))
  return [
    ...unlinkSteps(survey, () => false),
    ...[configName, kubeconfigName]
      .filter((name) => survey.configs.has(name))
      .map((name): Step => ({ do: 'remove config', name })),
    ...outside.map(({ path }): Step => ({ do: 'remove left over', path })),
    ...(survey.hasOwnConfDir ? [{ do: 'remove empty directory', path: ownConfDir } as const] : []),
    ...(survey.isThere ? [{ do: 'remove own folder' } as const] : []),
    ...(leases === undefined ? [] : [{ do: 'remove leases', path: leases } as const]),
  ]
}

/** A step as a line for a person. */
export function describe(step: Step, { binDir, ownConfDir }: Pick<PlanWish, 'binDir' | 'ownConfDir'>): string {
  switch (step.do) {
    case 'make directory':
    case 'remove left over':
    case 'remove leases':
      return `${step.do} ${step.path}`
    case 'remove empty directory':
      return `remove ${step.path} unless something else is in it`
    case 'remove version':
      return `remove version ${step.id}, which is not in use any more`
    case 'copy':
      return `copy ${step.file.name} (${step.file.bytes} bytes)`
    case 'write checksums':
      return `write ${sumsName}`
    case 'switch':
      return `switch from ${step.from ?? 'nothing'} to ${step.to}`
    case 'link':
      return `link ${binDir}/${step.name} to ${step.target}${step.keeps ? ', and keep what is there' : ''}`
    case 'unlink':
      return `remove ${binDir}/${step.name}${step.restores ? ', and give back what was there' : ''}`
    case 'write config':
      return `write ${ownConfDir}/${step.name}`
    case 'remove config':
      return `remove ${ownConfDir}/${step.name}`
    case 'remove own folder':
      return `remove ${binDir}/${ownFolder}`
  }
}
