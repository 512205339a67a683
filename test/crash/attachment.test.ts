/**
 * Every step of a whole ADD and a whole DEL of berth-macvlan on the real kernel, failed and killed, one run for each: after a
 * failure host, pod and store are as before and a retry works; after a kill one DEL removes all. BERTH_TEST_LONG=1 runs every
 * system call, otherwise one of every kind; BERTH_TEST_SEED=… takes the same ones again.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Answer, binaries, Host, ip, type Pod } from '../e2e/host.ts'
import { randomFrom, seed, shuffle } from './random.ts'

const long = process.env.BERTH_TEST_LONG === '1'

/** What the steps of an attachment are made of. */
const watched =
  'setns,socket,connect,read,write,pwrite64,openat,fdatasync,?link,linkat,?unlink,unlinkat,?rename,?renameat,renameat2,flock,fcntl,ftruncate'

/** One system call of a run: the `nth` of its name in the main thread. */
interface Point {
  readonly syscall: string
  readonly nth: number
  readonly kind: string
}

interface Traced extends Answer {
  readonly points: readonly Point[]
}

/** What a call is about; undefined for one of Node's own. */
function kindOf(syscall: string, rest: string, dataDir: string): string | undefined {
  if (['setns', 'socket', 'connect'].includes(syscall)) return syscall
  // The caller's end of standard input and output is a socket, too.
  if (/^[012]</.test(rest)) return undefined
  // strace knows what a socket is only in its own namespace.
  if (/<(NETLINK|socket):/.test(rest)) return 'netlink'
  if (rest.includes('/proc/sys/net')) return 'sysctl'
  if (rest.includes('/run/netns')) return 'namespace'
  if (rest.includes('/dev/urandom')) return 'random'
  if (!rest.includes(dataDir)) return undefined
  return new RegExp(`${dataDir}/([a-z]+)`).exec(rest)?.[1] ?? 'data'
}

function pointsOf(trace: string, dataDir: string): Point[] {
  const counts = new Map<string, number>()
  return trace.split('\n').flatMap((line) => {
    const [, syscall, rest] = /^(\w+)\((.*)$/.exec(line) ?? []
    if (syscall === undefined || rest === undefined) return []
    const nth = (counts.get(syscall) ?? 0) + 1
    counts.set(syscall, nth)
    const kind = kindOf(syscall, rest, dataDir)
    return kind === undefined ? [] : [{ syscall, nth, kind }]
  })
}

/** Runs a call under strace; without -f only the main thread, which makes every call that counts, is traced. */
function traced(host: Host, verb: string, pod: Pod, config: object, inject: readonly string[]): Traced {
  const trace = `${host.dataDir}.trace`
  const more = inject.flatMap((one) => ['-e', `inject=${one}`])
  const strace = ['strace', '-y', '--quiet=all', '-e', `trace=${watched}`, '-o', trace, ...more]
  const done = spawnSync('ip', ['netns', 'exec', host.node, ...strace, join(binaries, 'berth-macvlan')], {
    env: host.environment(verb, pod),
    input: JSON.stringify(config),
    encoding: 'utf8',
    timeout: 60_000,
    killSignal: 'SIGKILL',
  })
  const points = pointsOf(readFileSync(trace, 'utf8'), host.dataDir)
  return { exitCode: done.status, stdout: done.stdout, stderr: done.stderr, points }
}

const ipam = {
  type: 'berth-ipam',
  ipRanges: [{ range: '10.70.0.0/24', gateway: '10.70.0.1' }, { range: 'fd00:70::/64' }],
  routes: [{ dst: '10.71.0.0/16' }],
}

const rulesOf = ({ name }: Pod): string =>
  ['-4', '-6']
    .map((family) => ip('-n', name, family, 'rule'))
    .join('')
    .replace(/^.*all lookup (local|main|default)\n/gm, '')

/** What another pod of a host has all the while. */
const ofOthers = new WeakMap<Host, readonly string[]>()

/** What is there of an attachment, in the store, in the pod and on the node; and what of another one is missing. */
function left(host: Host, pod: Pod): string[] {
  const others = ofOthers.get(host) ?? []
  const found = [
    ...host.leaseFiles(),
    ...host.linksOf(pod.name),
    ...host.linksOf(host.node).filter((link) => link !== host.nic && link !== 'switch'),
    ...host.ownRoutes(),
    ...rulesOf(pod)
      .split('\n')
      .filter((line) => line !== ''),
  ]
  const missing = others.filter((one) => !found.includes(one)).map((one) => `not there: ${one}`)
  return [...found.filter((one) => !others.includes(one)), ...missing]
}

const isAnError = ({ stdout }: Answer): boolean => stdout !== '' && typeof JSON.parse(stdout).code === 'number'

/** What is wrong after an ADD with a fault; empty when all is as it must be. */
function judgeAdd(host: Host, pod: Pod, config: object, faulted: Answer): string[] {
  const wrong: string[] = []
  // The answer itself could not be written: nobody knows that the ADD is done, and a DEL comes as after a kill.
  const isUnheard = faulted.stderr.includes('cannot answer: ')
  if (faulted.exitCode === 1 && !isUnheard) {
    if (!isAnError(faulted)) wrong.push(`no error: ${faulted.stdout}`)
    if (left(host, pod).length > 0) wrong.push(`left by a failed ADD: ${left(host, pod).join(', ')}`)
  } else if (faulted.exitCode === 0) {
    const check = host.call('CHECK', pod, { ...config, prevResult: JSON.parse(faulted.stdout) })
    if (check.exitCode !== 0) wrong.push(`CHECK: ${check.stdout}`)
  }
  if (faulted.exitCode !== 1 || isUnheard) {
    const del = host.call('DEL', pod, config)
    if (del.exitCode !== 0) wrong.push(`DEL: ${del.stdout}`)
    if (left(host, pod).length > 0) wrong.push(`left by DEL: ${left(host, pod).join(', ')}`)
  }
  const again = host.call('ADD', pod, config)
  if (again.exitCode !== 0) wrong.push(`ADD again: ${again.stdout}`)
  return wrong
}

/** What is wrong after a DEL with a fault. */
function judgeDel(host: Host, pod: Pod, config: object, faulted: Answer): string[] {
  const wrong: string[] = []
  if (faulted.exitCode === 1 && !isAnError(faulted)) wrong.push(`no error: ${faulted.stdout}`)
  if (faulted.exitCode === 0 && left(host, pod).length > 0) wrong.push(`left by DEL: ${left(host, pod).join(', ')}`)
  const again = host.call('DEL', pod, config)
  if (again.exitCode !== 0) wrong.push(`DEL again: ${again.stdout}`)
  if (left(host, pod).length > 0) wrong.push(`left by the second DEL: ${left(host, pod).join(', ')}`)
  return wrong
}

/** One of every kind, from a shuffled list; all of them in the long form. */
function chosen(points: readonly Point[]): readonly Point[] {
  if (long) return points
  const byKind = new Map(shuffle(points, randomFrom(seed)).map((point) => [`${point.syscall} ${point.kind}`, point]))
  return [...byKind.values()]
}

test.each([
  ['ADD', 'EIO', 'alone'],
  ['ADD', 'EIO', 'beside another'],
  ['ADD', 'SIGKILL', 'alone'],
  ['ADD', 'SIGKILL', 'beside another'],
  ['DEL', 'EIO', 'alone'],
  ['DEL', 'EIO', 'beside another'],
  ['DEL', 'SIGKILL', 'alone'],
  ['DEL', 'SIGKILL', 'beside another'],
])('every step of %s can fail when it meets %s: %s', { timeout: 1_200_000 }, (verb, fault, company) => {
  using host = new Host()
  const pod = host.pod()
  ip('-n', host.node, 'addr', 'add', '10.70.0.250/24', 'dev', host.nic)
  ip('-n', host.node, 'addr', 'add', '2001:db8::5/64', 'dev', host.nic, 'nodad')
  const config = host.config({ ipam, sourceRouting: true, hostAccess: true })
  // The first one makes the directories of the store.
  for (const once of ['ADD', 'DEL']) host.call(once, pod, config)
  const other = host.pod()
  if (company !== 'alone') {
    host.add(other, config)
    ofOthers.set(host, left(host, pod))
  }
  const setUp = (): void => {
    if (verb === 'DEL') host.add(pod, config)
  }
  setUp()
  const { exitCode, points, stdout } = traced(host, verb, pod, config, [])
  expect(exitCode, stdout).toBe(0)
  host.call('DEL', pod, config)

  const wrong: string[] = []
  const tried = chosen(points)
  for (const { syscall, nth, kind } of tried) {
    setUp()
    const what = fault === 'SIGKILL' ? 'signal=SIGKILL' : `error=${fault}`
    const faulted = traced(host, verb, pod, config, [`${syscall}:${what}:when=${nth}`])
    const judge = verb === 'ADD' ? judgeAdd : judgeDel
    wrong.push(...judge(host, pod, config, faulted).map((why) => `${syscall} ${nth} (${kind}): ${why}`))
    host.call('DEL', pod, config)
  }
  host.call('DEL', other, config)
  process.stdout.write(
    `${verb} with ${fault}, ${company}: ${tried.length} of ${points.length} system calls, ${wrong.length} wrong\n`,
  )
  expect(wrong).toEqual([])
})
