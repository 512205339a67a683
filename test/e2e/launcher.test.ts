/** The launcher as the kernel sees it, as root, and the one for the other machine. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { compileLauncher, compilerOf } from '../../packaging/launcher.ts'
import {
  Agent,
  call,
  compileC,
  errorOf,
  freshFolder,
  goodAgent,
  launch,
  paths,
  prepare,
  programSaid,
  reply,
  work,
} from '../launcher/launch.ts'
import { binaries } from './host.ts'

beforeAll(prepare)
afterAll(() => rmSync(work, { recursive: true, force: true }))

const config = '{"cniVersion":"1.1.0","name":"net-a","type":"berth-macvlan"}'

/** The names of the system calls of a run, in their order. */
const callsOf = (trace: string): string[] =>
  readFileSync(trace, 'utf8')
    .split('\n')
    .flatMap((line) => /^(\w+)\(/.exec(line)?.[1] ?? [])

test('launcher makes thirteen system calls, none for memory, when the agent answers', async () => {
  const folder = freshFolder()
  await using agent = goodAgent(folder)
  const trace = join(folder, 'trace')
  const command = ['strace', '-o', trace, join(binaries, 'berth-macvlan')]
  const done = await launch({ command, environment: { ...call, BERTH_DATA_DIR: folder }, input: config })
  expect([done.exitCode, agent.requests.length]).toEqual([0, 1])
  const opening = ['execve', 'socket', 'connect', 'getsockopt', 'ppoll', 'recvfrom']
  const request = ['read', 'read', 'sendto', 'ppoll', 'recvfrom', 'write', 'exit_group']
  expect(callsOf(trace)).toEqual([...opening, ...request])
})

test('launcher asks for no memory when it replays a large input either', async () => {
  const folder = freshFolder()
  await using _agent = goodAgent(folder, reply({ declined: 1 }))
  const trace = join(folder, 'trace')
  const input = Buffer.alloc(1 << 20, 'x')
  const command = ['strace', '-o', trace, paths.launcher]
  const done = await launch({ command, environment: { ...call, BERTH_DATA_DIR: folder }, input })
  expect(programSaid(done).input.equals(input)).toBe(true)
  const ofLauncher = callsOf(trace).slice(1, callsOf(trace).lastIndexOf('execve'))
  expect(ofLauncher.filter((name) => !['read', 'sendto', 'ppoll', 'write'].includes(name))).toEqual([
    ...['socket', 'connect', 'getsockopt', 'recvfrom', 'recvfrom'],
    // The first execve finds no loader beside the program.
    ...['memfd_create', 'lseek', 'dup3', 'readlinkat', 'execve'],
  ])
})

test('launcher reads nothing before the hello, so the program gets all of it, when another version answers', async () => {
  const folder = freshFolder()
  const other = Buffer.from('berth\0\x02\0', 'latin1')
  const accept = (socket: NodeJS.WritableStream): void => void socket.write(other)
  await using _agent = new Agent(join(folder, 'agent.sock'), accept, () => undefined)
  const trace = join(folder, 'trace')
  const command = ['strace', '-o', trace, paths.launcher]
  const done = await launch({ command, environment: { ...call, BERTH_DATA_DIR: folder }, input: config })
  expect(programSaid(done).input.toString()).toBe(config)
  const ofLauncher = callsOf(trace).slice(1, callsOf(trace).lastIndexOf('execve'))
  expect(ofLauncher).toEqual(['socket', 'connect', 'getsockopt', 'ppoll', 'recvfrom', 'close', 'readlinkat', 'execve'])
})

test('launcher asks nobody whose user is neither root nor its own', async () => {
  const folder = freshFolder()
  for (const open of [work, folder]) chmodSync(open, 0o777)
  const listen = `require('node:net').createServer((s) => s.on('error', () => 0).write('berth\\0\\x01\\0')).listen('agent.sock')`
  const script = `process.setuid(65534); ${listen}`
  const stranger = spawn(process.execPath, ['-e', script], { cwd: folder, stdio: 'ignore' })
  try {
    while (!existsSync(join(folder, 'agent.sock'))) await pause(10)
    const environment = { ...call, BERTH_DATA_DIR: folder }
    expect(programSaid(await launch({ environment, input: config })).input.toString()).toBe(config)
    // The same agent is good enough for a call of that user's own, who gets its hello and no answer.
    const own = ['setpriv', '--reuid=65534', '--clear-groups', paths.launcher]
    expect(errorOf(await launch({ command: own, environment, input: config })).code).toBe(11)
  } finally {
    stranger.kill('SIGKILL')
  }
})

test('launcher finds the program beside what was executed when there is no /proc', async () => {
  const script = 'umount -l /proc && cd "$1" && exec ./berth-macvlan'
  const command = ['unshare', '-m', 'sh', '-c', script, 'sh', work]
  const environment = { ...call, PATH: process.env.PATH ?? '', BERTH_DATA_DIR: '/nowhere' }
  expect(programSaid(await launch({ command, environment, input: config })).input.toString()).toBe(config)
})

test('berth-macvlan of the build answers through the packaged program when there is no agent', async () => {
  const environment = { CNI_COMMAND: 'VERSION', BERTH_DATA_DIR: freshFolder() }
  const [through, direct] = [
    await launch({ command: [join(binaries, 'berth-macvlan')], environment }),
    await launch({ command: [join(binaries, 'berth')], argv0: 'berth-macvlan', environment }),
  ]
  expect(through.exitCode).toBe(0)
  expect(through.stdout.toString()).toBe(direct.stdout.toString())
})

const isThere = (command: string): boolean => spawnSync('which', [command]).status === 0
const emulator = 'qemu-aarch64-static'
const missing = process.arch === 'arm64' ? [] : [compilerOf('arm64'), emulator].filter((command) => !isThere(command))

test.skipIf(missing.length > 0)(
  `launcher works on arm64${missing.length > 0 ? ` (SKIPPED: no ${missing.join(', no ')})` : ''}`,
  async () => {
    const folder = freshFolder()
    mkdirSync(join(folder, 'bin'))
    const launcher = join(folder, 'bin', 'berth-macvlan')
    compileLauncher(launcher, 'arm64')
    compileC('program.c', join(folder, 'bin', 'berth'))
    const command = process.arch === 'arm64' ? [launcher] : [emulator, launcher]
    const environment = { ...call, BERTH_DATA_DIR: folder }
    const input = Buffer.alloc(1 << 20, 'abc')
    {
      await using agent = goodAgent(folder, reply({ output: input, exitCode: 9 }))
      const done = await launch({ command, environment, input })
      expect([done.exitCode, done.stdout.equals(input)]).toEqual([9, true])
      expect(agent.requests[0]).toMatchObject({ name: 'berth-macvlan' })
      expect(agent.requests[0]?.input.equals(input)).toBe(true)
    }
    {
      await using _agent = goodAgent(folder, reply({ declined: 1 }))
      expect(programSaid(await launch({ command, environment, input })).input.equals(input)).toBe(true)
    }
    {
      await using _silent = new Agent(join(folder, 'agent.sock'), () => undefined)
      const done = await launch({ command, environment, input: config })
      expect(programSaid(done).input.toString()).toBe(config)
      expect(done.ms).toBeGreaterThanOrEqual(250)
    }
    expect(programSaid(await launch({ command, environment, input: config })).input.toString()).toBe(config)
    rmSync(join(folder, 'bin', 'berth'))
    const error = errorOf(await launch({ command, environment, input: config }))
    expect(error).toMatchObject({ code: 5, msg: `Cannot execute "${folder}/bin/berth": error number 2` })
    expect(execFileSync('od', ['-An', '-tx2', '-j18', '-N2', launcher], { encoding: 'utf8' }).trim()).toBe('00b7')
  },
)
