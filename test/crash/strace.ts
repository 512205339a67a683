/**
 * The packaged program under strace: which system calls of it touch the data directory, and the same run again with one of
 * them killed or failed (`strace -e inject`). Calls are counted for each system call by its name, in the main thread.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { binaries } from '../e2e/host.ts'

/** A `?` in front: not every machine has it. */
const watched =
  '?open,openat,write,pwrite64,fsync,fdatasync,?link,linkat,?rename,?renameat,renameat2,?unlink,unlinkat,?mkdir,mkdirat,?utimes,utimensat,flock,fcntl,ftruncate,?symlink,symlinkat,?rmdir'
const callTimeoutMs = 30_000

export interface Run {
  /** One of the packaged ones, and its arguments. */
  readonly program: string
  readonly args: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly stdin: string
  readonly dataDir: string
  /** Where strace writes. */
  readonly trace: string
}

/** One system call of a run: the `nth` of this name, and what it does. */
export interface Point {
  readonly syscall: string
  readonly nth: number
  readonly what: string
  /** How often each name was called before. */
  readonly before: ReadonlyMap<string, number>
}

export const faults = ['SIGKILL', 'EIO', 'ENOSPC', 'EROFS', 'EINTR', 'EIO+', 'ENOSPC+', 'EROFS+'] as const
/** A killed or a failed call; with a `+`, all later ones that change names or sync fail as well: a disk that stays full. */
export type Fault = (typeof faults)[number]

export interface Outcome {
  /** Null when it was killed. */
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
  readonly points: readonly Point[]
}

function strace(run: Run, inject: readonly string[]): Outcome {
  const args = ['-f', '-y', '--quiet=all', '-e', `trace=${watched}`, '-s', '4096', '-o', run.trace]
  const more = inject.flatMap((one) => ['-e', `inject=${one}`])
  const done = spawnSync('strace', [...args, ...more, join(binaries, run.program), ...run.args], {
    env: run.environment,
    input: run.stdin,
    encoding: 'utf8',
    // A group of its own: what strace leaves behind when it has to be stopped is stopped with it.
    ...{ detached: true },
    timeout: callTimeoutMs,
    killSignal: 'SIGKILL',
  })
  if (done.error !== undefined) {
    if (done.pid > 0) spawnSync('kill', ['-9', '--', `-${done.pid}`])
    throw done.error
  }
  const points = pointsOf(readFileSync(run.trace, 'utf8'), run.dataDir)
  return { exitCode: done.status, stdout: done.stdout, stderr: done.stderr, points }
}

/** The calls that touch the data directory, and the one that writes the answer. */
function pointsOf(trace: string, dataDir: string): Point[] {
  const counts = new Map<string, number>()
  const points: Point[] = []
  let main: string | undefined
  for (const line of trace.split('\n')) {
    const [, thread, syscall, rest] = /^(\d+) +(\w+)\((.*)$/.exec(line) ?? []
    if (thread === undefined || syscall === undefined || rest === undefined) continue
    main ??= thread
    const touches = rest.includes(dataDir)
    if (thread !== main) {
      if (touches) throw new Error(`another thread touches the data directory: ${line}`)
      continue
    }
    const before = new Map(counts)
    const nth = (counts.get(syscall) ?? 0) + 1
    counts.set(syscall, nth)
    if (touches || (syscall === 'write' && rest.startsWith('1<'))) points.push({ syscall, nth, what: rest, before })
  }
  return points
}

/** A run in which nothing fails. */
export interface Recorded {
  readonly points: readonly Point[]
  readonly dataDir: string
}

export function recordRun(run: Run): Recorded {
  const { exitCode, stdout, points } = strace(run, [])
  if (exitCode !== 0) throw new Error(`the call fails by itself: ${stdout}`)
  return { points, dataDir: run.dataDir }
}

/** Calls that change names, times or what is on disk: once a disk is broken they all are. */
const persistent = /^(link|rename|mkdir|unlink|utime|fsync|fdatasync)/

function injection({ syscall, nth, before }: Point, fault: Fault, all: readonly Point[]): string[] {
  if (fault === 'SIGKILL') return [`${syscall}:signal=SIGKILL:when=${nth}`]
  const error = fault.replace('+', '')
  const once = `${syscall}:error=${error}:when=${nth}`
  if (!fault.endsWith('+')) return [once]
  const names = [...new Set(all.map((point) => point.syscall))]
  const others = names.filter((name) => persistent.test(name) && (error !== 'ENOSPC' || takesSpace({ syscall: name })))
  const from = (name: string): string =>
    `${name}:error=${error}:when=${name === syscall ? nth : (before.get(name) ?? 0) + 1}+`
  return [...(others.includes(syscall) ? [] : [once]), ...others.map(from)]
}

/** The file that a call is about, below the data directory. */
const fileOf = ({ what }: Point, dataDir: string): string | undefined =>
  new RegExp(`${dataDir}([^">]*)`).exec(what)?.[1]

/**
 * Runs again with a fault at one of the calls that a recording of the same run found. Undefined when it hit another call: a
 * start-up does not always open the same number of files.
 */
export function injectInto(run: Run, point: Point, fault: Fault, recorded: Recorded): Outcome | undefined {
  const all = recorded.points
  const outcome = strace(run, injection(point, fault, all))
  const isSame = (one: Point | undefined, other: Point): boolean =>
    one?.syscall === other.syscall && fileOf(one, run.dataDir) === fileOf(other, recorded.dataDir)
  if (fault !== 'SIGKILL') {
    const hit = outcome.points.find(({ what }) => what.includes('INJECTED'))
    return isSame(hit, point) ? outcome : undefined
  }
  // The call that it was killed at may be in the trace or not.
  const before = all.indexOf(point)
  const isThere = [before, before + 1].includes(outcome.points.length)
  return outcome.exitCode === null && isThere ? outcome : undefined
}

const opensForWriting = ({ syscall, what = '' }: { syscall: string; what?: string }): boolean =>
  syscall.startsWith('open') && /O_WRONLY|O_RDWR|O_CREAT/.test(what)

/** Whether a file system may need room for it; a name that is removed, a time and a lock need none. */
export function takesSpace(point: { syscall: string; what?: string }): boolean {
  const makes = point.syscall.startsWith('open') && (point.what ?? '').includes('O_EXCL')
  return makes || /^(write|pwrite64|link|rename|mkdir)/.test(point.syscall)
}

/** Which faults a call can meet on a real disk. */
export function faultsOf(point: Point): Fault[] {
  // Nobody reads the answer when the pipe is broken: that is the runtime's fault and not the disk's.
  if (point.what.startsWith('1<')) return ['SIGKILL']
  if (point.syscall === 'flock') return ['SIGKILL', 'EIO', 'EINTR']
  const isRead = point.syscall.startsWith('open') && !opensForWriting(point)
  if (isRead) return ['SIGKILL', 'EIO', 'EINTR']
  const changes = opensForWriting(point) || persistent.test(point.syscall)
  return [
    'SIGKILL',
    'EIO',
    'EIO+',
    'EINTR',
    'ENOSPC',
    ...(takesSpace(point) ? ['ENOSPC+' as const] : []),
    ...(changes && !point.syscall.includes('sync') ? (['EROFS', 'EROFS+'] as const) : []),
  ]
}
