/** From what is wished and what is there to the steps between, in an order in which every step leaves a working set. Pure. */
import { ownName } from '../shared/aliases.ts'
import { nodeConfigName as configName } from '../shared/node-config.ts'
import { type FileSet, isOwnTarget, linkTarget, ownFolder, type SetFile, sumsName, sumsOf } from './layout.ts'
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
  readonly defaults: string | undefined
  readonly kubeconfig: string | undefined
  readonly force: boolean
}

/** The names that are to be there, each with the file of the version that it links to. */
export function wishedNames(set: FileSet, aliases: readonly string[]): Map<string, string> {
  const own = set.files.map(({ name }) => name).filter((name) => !name.includes('/'))
  for (const alias of aliases) {
    if (!own.includes(ownName(alias))) {
      throw new Error(`Cannot answer as "${alias}": there is no "${ownName(alias)}" in "${set.from}"`)
    }
  }
  return new Map([
    ...own.map((name) => [name, name] as const),
    ...aliases.map((name) => [name, ownName(name)] as const),
  ])
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

function linkSteps(wished: ReadonlyMap<string, string>, occupants: Survey['occupants']): Step[] {
  return [...wished].flatMap(([name, file]): Step[] => {
    const occupant = occupants.get(name) ?? { kind: 'absent' }
    const target = linkTarget(file)
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

/** The last one stays to go back to, and those that calls may still use. */
function oldVersions(survey: Survey, id: string): Step[] {
  const others = survey.versions.filter((version) => version.id !== id && version.id !== survey.current)
  const newest = Math.min(...others.map(({ idleMs }) => idleMs))
  const previousStays = survey.current === id || survey.current === undefined
  return others
    .filter(({ idleMs }) => idleMs > restMs && !(previousStays && idleMs === newest))
    .map((version) => ({ do: 'remove version', id: version.id }))
}

function configSteps({ ownConfDir, defaults, kubeconfig }: PlanWish, configs: Survey['configs']): Step[] {
  const config = defaults ?? (configs.has(configName) ? undefined : '{}\n')
  const wanted = [
    [configName, config],
    [kubeconfigName, kubeconfig],
  ] as const
  const writes = wanted.flatMap(([name, text]): Step[] =>
    text === undefined || configs.get(name) === text ? [] : [{ do: 'write config', name, text }],
  )
  return writes.length === 0 ? [] : [{ do: 'make directory', path: ownConfDir }, ...writes]
}

/** Throws an Error when something is in the way, or there is no room for it. */
export function planInstall(wish: PlanWish, set: FileSet, survey: Survey): Step[] {
  const wished = wishedNames(set, wish.aliases)
  checkOccupants(wish, survey.occupants, [...wished.keys()])
  const copies = set.files.filter(({ name }) => !survey.good.has(name))
  const bytes = copies.reduce((sum, file) => sum + file.bytes, 0)
  if (bytes > survey.freeBytes) {
    throw new Error(`Cannot copy into "${wish.binDir}": ${bytes} bytes are needed, ${survey.freeBytes} are free`)
  }
  const own = `${wish.binDir}/${ownFolder}`
  const folders = [wish.binDir, `${own}/${set.id}/lib`]
  const sums = survey.good.has(sumsName) ? [] : [{ do: 'write checksums', text: sumsOf(set.files) } as const]
  return [
    ...survey.leftovers.map((path): Step => ({ do: 'remove left over', path })),
    ...oldVersions(survey, set.id),
    ...(copies.length + sums.length === 0 ? [] : folders.map((path): Step => ({ do: 'make directory', path }))),
    ...copies.map((file): Step => ({ do: 'copy', file })),
    ...sums,
    // Before the switch: a name whose file the new version does not have would lead nowhere.
    ...unlinkSteps(survey, (name) => wished.has(name)),
    ...(survey.current === set.id ? [] : [{ do: 'switch', from: survey.current, to: set.id } as const]),
    // After it: a name must not be there before what it leads to.
    ...linkSteps(wished, survey.occupants),
    ...configSteps(wish, survey.configs),
  ]
}

/** Names first, so that nobody finds one that leads nowhere; leases last. */
export function planUninstall(survey: Survey, leases: string | undefined): Step[] {
  return [
    ...unlinkSteps(survey, () => false),
    ...[configName, kubeconfigName]
      .filter((name) => survey.configs.has(name))
      .map((name): Step => ({ do: 'remove config', name })),
    { do: 'remove own folder' },
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
