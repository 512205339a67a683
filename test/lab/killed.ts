/** Calls that are killed at a step that counts, told by the system calls of one that is not. */
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { inNode } from '../e2e/agent.ts'
import { binaries, type Host, type Pod } from '../e2e/host.ts'

/** One step: the `nth` system call of this name in the main thread. */
export interface Step {
  readonly syscall: string
  readonly nth: number
}

interface Traced {
  readonly steps: readonly Step[]
  readonly isKilled: boolean
}

/** What asks the kernel for something, sets it, or changes the store. */
const watched = ['write', 'pwrite64', 'link', 'unlink']

function stepsOf(trace: string, dataDir: string): Step[] {
  const counts = new Map<string, number>()
  return trace.split('\n').flatMap((line) => {
    const [, syscall = '', rest = ''] = /^(\w+)\((.*)$/.exec(line) ?? []
    const nth = (counts.get(syscall) ?? 0) + 1
    counts.set(syscall, nth)
    const counted =
      /^\d+<(NETLINK|socket):/.test(rest) || rest.includes('/proc/sys/net') || rest.includes(`${dataDir}/leases`)
    return watched.includes(syscall) && counted ? [{ syscall, nth }] : []
  })
}

/** Runs a call under strace, and kills it as it comes to `at`. */
export function traced(host: Host, verb: string, pod: Pod, config: object, plugin: string, at?: Step): Traced {
  const trace = join(host.dataDir, 'trace')
  const inject = at === undefined ? [] : ['-e', `inject=${at.syscall}:signal=SIGKILL:when=${at.nth}`]
  const strace = ['strace', '-y', '--quiet=all', '-o', trace, '-e', `trace=${watched.join()}`, ...inject]
  const [command = '', ...args] = [...inNode(host.node), ...strace, join(binaries, plugin)]
  const env = host.environment(verb, pod)
  const done = spawnSync(command, args, { input: JSON.stringify(config), env, timeout: 60_000, killSignal: 'SIGTERM' })
  const steps = stepsOf(readFileSync(trace, 'utf8'), host.dataDir)
  rmSync(trace)
  return { steps, isKilled: done.signal === 'SIGKILL' || done.status === 137 }
}

/** So many of them, evenly, with the first one and the last one. */
export function some<T>(all: readonly T[], count: number): T[] {
  const last = Math.min(count, all.length) - 1
  return Array.from(
    { length: last + 1 },
    (_, place) => all[Math.round((place * (all.length - 1)) / Math.max(last, 1))],
  ).filter((one) => one !== undefined)
}
