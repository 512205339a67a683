/** What a call of the packaged berth-macvlan sends to the kernel, seen by strace. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect } from 'vitest'
import { binaries, type Host, type Pod } from './host.ts'

interface Sends {
  /** How long each write to a netlink socket took, in milliseconds. */
  readonly writesMs: readonly number[]
  /** The same of each setns. */
  readonly setnsMs: readonly number[]
}

/** Runs one call, which must succeed, and returns its messages to the kernel; several in one send count once. */
export function sendsOf(host: Host, verb: string, pod: Pod, config: object): Sends {
  const strace = ['strace', '-T', '-y', '--quiet=all', '-e', 'trace=write,setns']
  const done = spawnSync('ip', ['netns', 'exec', host.node, ...strace, join(binaries, 'berth-macvlan')], {
    env: host.environment(verb, pod),
    input: JSON.stringify(config),
    encoding: 'utf8',
  })
  expect(done.status, done.stdout).toBe(0)
  const lines = done.stderr.split('\n')
  const timesOf = (pattern: RegExp): number[] =>
    lines.filter((line) => pattern.test(line)).map((line) => Number(/<([0-9.]+)>$/.exec(line)?.[1]) * 1000)
  return { writesMs: timesOf(/<(NETLINK|socket):/), setnsMs: timesOf(/^setns/) }
}
