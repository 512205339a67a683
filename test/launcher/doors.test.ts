/** Which door a call takes, and that it gets there whole. */
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, linkSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CniError, renderError } from '../../shared/cni/errors.ts'
import { call, errorOf, freshFolder, goodAgent, launch, paths, prepare, programSaid, reply, work } from './launch.ts'

beforeAll(prepare)
afterAll(() => rmSync(work, { recursive: true, force: true }))

const config = '{"cniVersion":"1.1.0","name":"net-a","type":"berth-macvlan"}'

test('launcher passes name, CNI_* and input to the agent and its answer back when one answers', async () => {
  const folder = freshFolder()
  await using agent = goodAgent(folder, reply({ output: '{"ips":[]}\n', exitCode: 3 }))
  const odd = { CNI_ARGS: 'A=1;\nB="2"', CNI_: '', BERTH_LOG: 'debug', PATH: '/bin', XCNI_COMMAND: 'DEL' }
  const done = await launch({ environment: { ...call, ...odd, BERTH_DATA_DIR: folder }, input: config })
  expect([done.exitCode, done.stdout.toString()]).toEqual([3, '{"ips":[]}\n'])
  const sent = Object.entries({ ...call, CNI_ARGS: odd.CNI_ARGS, CNI_: '' }).map(([name, value]) => `${name}=${value}`)
  expect(agent.requests).toEqual([
    { name: 'berth-macvlan', variables: expect.toSatisfy((got) => sameSet(got, sent)), input: Buffer.from(config) },
  ])
})

const sameSet = (one: readonly string[], other: readonly string[]): boolean =>
  JSON.stringify([...one].sort()) === JSON.stringify([...other].sort())

test('launcher gives an empty answer and exit code 0 when the agent answers with nothing', async () => {
  const folder = freshFolder()
  await using agent = goodAgent(folder, reply())
  const done = await launch({ environment: { ...call, BERTH_DATA_DIR: folder } })
  expect([done.exitCode, done.stdout.length, agent.requests.length]).toEqual([0, 0, 1])
})

test.each([0, 1, 4096, 200_000, (1 << 20) - 1, 1 << 20])(
  'launcher passes %i bytes there and back when that is what there is',
  async (size) => {
    const folder = freshFolder()
    const [input, output] = [Buffer.alloc(size, 'abcdefg'), Buffer.alloc(size, 'hijklmnopqr')]
    await using agent = goodAgent(folder, reply({ output }))
    const done = await launch({ environment: { ...call, BERTH_DATA_DIR: folder }, input })
    expect(done.exitCode).toBe(0)
    expect(done.stdout.equals(output)).toBe(true)
    expect(agent.requests[0]?.input.equals(input)).toBe(true)
  },
)

test('launcher becomes the program, with the whole input, when that is larger than the protocol allows', async () => {
  const folder = freshFolder()
  await using agent = goodAgent(folder)
  for (const size of [(1 << 20) + 1, 3_500_001]) {
    const input = Buffer.alloc(size, 'abcdefg')
    const done = await launch({ environment: { ...call, BERTH_DATA_DIR: folder }, input })
    expect(programSaid(done).input.equals(input)).toBe(true)
  }
  expect(agent.heard.every((bytes) => bytes.length === 0)).toBe(true)
})

test('launcher becomes the program as it was called when there is no agent', async () => {
  const folder = freshFolder()
  const environment = { ...call, BERTH_DATA_DIR: folder, PATH: '/bin', EMPTY: '' }
  for (const argv0 of ['berth-macvlan', '/opt/cni/bin/berth-ipam', './x/berth-sriov']) {
    const said = programSaid(await launch({ environment, input: config, argv0 }))
    expect([said.argc, said.argv0, said.input.toString()]).toEqual([1, argv0, config])
    const given = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
    expect(said.environment.toSorted()).toEqual(given.toSorted())
  }
})

test('launcher starts the program by the loader beside it, with the libraries there, when there is one', async () => {
  const folder = freshFolder()
  mkdirSync(join(folder, 'lib'))
  for (const [from, to] of [
    [paths.launcher, 'berth-ipam'],
    [join(work, 'berth'), 'berth'],
    [join(work, 'berth'), 'lib/ld.so'],
  ] as const)
    copyFileSync(from, join(folder, to))
  const started = { command: [join(folder, 'berth-ipam')], environment: { ...call, BERTH_DATA_DIR: freshFolder() } }
  const said = programSaid(await launch({ ...started, input: config }))
  // ld.so --argv0 NAME --library-path FOLDER PROGRAM
  expect([said.argc, said.argv0, said.input.toString()]).toEqual([6, join(folder, 'lib', 'ld.so'), config])
  writeFileSync(join(folder, 'lib', 'ld.so'), '', { mode: 0o644 })
  chmodSync(join(folder, 'lib', 'ld.so'), 0o644)
  expect(programSaid(await launch({ ...started, input: config })).argc).toBe(1)
})

const inTheWay: [string, (path: string) => void][] = [
  ['a file', (path) => writeFileSync(path, '')],
  ['a directory', (path) => mkdirSync(path)],
  ['a symbolic link to nowhere', (path) => symlinkSync('nowhere', path)],
  ['a socket that nobody listens at', (path) => leaveSocket(path)],
]

/** The socket of a process that was killed. */
function leaveSocket(path: string): void {
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', script])
}

test.each(inTheWay)("launcher becomes the program when %s is in the socket's place", async (_, make) => {
  const folder = freshFolder()
  make(join(folder, 'agent.sock'))
  const said = programSaid(await launch({ environment: { ...call, BERTH_DATA_DIR: folder }, input: config }))
  expect(said.input.toString()).toBe(config)
})

test('launcher asks no agent when there is no verb, an empty one, no name, or too large a head', async () => {
  const folder = freshFolder()
  const { CNI_COMMAND: _, ...withoutVerb } = call
  await using agent = goodAgent(folder)
  const raw = Object.entries({ ...call, BERTH_DATA_DIR: folder }).map(([name, value]) => `${name}=${value}`)
  const head = (bytes: number): Record<string, string> => {
    const used = Buffer.byteLength(
      `berth-macvlan\0${Object.entries(call)
        .map(([name, value]) => `${name}=${value}\0`)
        .join('')}`,
    )
    return { ...call, CNI_ARGS: 'x'.repeat(bytes - used - 'CNI_ARGS=\0'.length) }
  }
  for (const start of [
    { environment: { ...withoutVerb, BERTH_DATA_DIR: folder } },
    { environment: { ...call, CNI_COMMAND: '', BERTH_DATA_DIR: folder } },
    { environment: { ...call, BERTH_DATA_DIR: folder }, argv0: '' },
    { environment: { ...call, BERTH_DATA_DIR: folder }, argv0: '/opt/cni/bin/' },
    { command: [paths.starter, paths.launcher, '-A', ...raw] },
    { environment: { ...head((16 << 10) + 1), BERTH_DATA_DIR: folder } },
    { environment: { ...call, CNI_ARGS: 'x'.repeat(120_000), BERTH_DATA_DIR: folder } },
  ])
    expect(programSaid(await launch({ ...start, input: config })).input.toString()).toBe(config)
  expect(agent.heard).toEqual([])
  const largest = await launch({ environment: { ...head(16 << 10), BERTH_DATA_DIR: folder }, input: config })
  expect([largest.exitCode, agent.requests.length]).toEqual([0, 1])
})

test('launcher goes by the first of two variables of one name, and passes both', async () => {
  const folder = freshFolder()
  await using agent = goodAgent(folder)
  const twice = ['CNI_COMMAND=DEL', 'CNI_COMMAND=', 'CNI_ODD', `BERTH_DATA_DIR=${folder}`, 'BERTH_DATA_DIR=/nowhere']
  const done = await launch({ command: [paths.starter, paths.launcher, '-a', 'x/berth-ipam', ...twice], input: config })
  expect(done.exitCode).toBe(0)
  expect(agent.requests).toEqual([
    { name: 'berth-ipam', variables: ['CNI_COMMAND=DEL', 'CNI_COMMAND='], input: Buffer.from(config) },
  ])
})

test('launcher asks at the run directory first, then at the default data directory, and only elsewhere when told so', async () => {
  const [folder, long] = [freshFolder(), join(work, 'l'.repeat(200))]
  const asked = async (dataDir: string | undefined): Promise<number[]> => {
    const before = [inRun, inData, there].map(({ requests }) => requests.length)
    await launch({ environment: { ...call, ...(dataDir === undefined ? {} : { BERTH_DATA_DIR: dataDir }) } })
    return [inRun, inData, there].map(({ requests }, index) => requests.length - (before[index] ?? 0))
  }
  await using there = goodAgent(folder)
  await using inData = goodAgent(paths.dataDir)
  await using inRun = goodAgent(paths.runDir)
  expect(await asked(undefined)).toEqual([1, 0, 0])
  expect(await asked('')).toEqual([1, 0, 0])
  expect(await asked(paths.dataDir)).toEqual([1, 0, 0])
  expect(await asked(folder)).toEqual([0, 0, 1])
  expect(await asked(`${paths.dataDir}x`)).toEqual([0, 0, 0])
  expect(await asked(long)).toEqual([0, 0, 0])
  expect(await asked('/'.repeat(100_000))).toEqual([0, 0, 0])
  await inRun[Symbol.asyncDispose]()
  expect(await asked(undefined)).toEqual([0, 1, 0])
})

test.each([
  [96, 1],
  [97, 0],
])('launcher asks an agent whose directory has %i bytes: %i times', async (bytes, times) => {
  const base = freshFolder()
  const folder = `${base}/${'d'.repeat(bytes - base.length - 1)}`
  mkdirSync(folder)
  // A name that the kernel takes is not always one that Node takes: it listens through a shorter one.
  const short = freshFolder()
  await using agent = goodAgent(short)
  linkSync(join(short, 'agent.sock'), join(folder, 'agent.sock'))
  await launch({ environment: { ...call, BERTH_DATA_DIR: folder } })
  expect(agent.requests.length).toBe(times)
})

test('launcher says which program it cannot execute, in the shape of our errors, when that is missing', async () => {
  const folder = freshFolder()
  const alone = join(folder, 'berth-macvlan')
  copyFileSync(paths.launcher, alone)
  const done = await launch({ command: [alone], environment: { ...call, BERTH_DATA_DIR: folder } })
  const error = new CniError('ERR_IO', `Cannot execute "${folder}/berth": error number 2`)
  expect([done.exitCode, done.stdout.toString()]).toEqual([1, renderError(error, undefined)])
  writeFileSync(join(folder, 'berth'), 'not a program')
  const other = await launch({ command: [alone], environment: { ...call, BERTH_DATA_DIR: folder } })
  expect(errorOf(other).msg).toBe(`Cannot execute "${folder}/berth": error number 13`)
})

test.each([
  ['a copy', (from: string, to: string) => copyFileSync(from, to)],
  ['a hard link', linkSync],
  ['a symbolic link', symlinkSync],
])('launcher does not execute itself for ever when the program is %s of it', async (_, make) => {
  const folder = freshFolder()
  const alone = join(folder, 'berth-macvlan')
  copyFileSync(paths.launcher, alone)
  make(alone, join(folder, 'berth'))
  const done = await launch({ command: [alone], environment: { ...call, BERTH_DATA_DIR: folder } })
  expect(errorOf(done)).toMatchObject({ code: 5, msg: expect.stringContaining('it is the launcher') })
})

test('launcher finds the program in its own folder when it is called through a symbolic link, from anywhere', async () => {
  const folder = freshFolder()
  symlinkSync(paths.launcher, join(folder, 'macvlan'))
  const said = programSaid(await launch({ command: [join(folder, 'macvlan')], environment: call, input: config }))
  expect(said.argv0).toBe(join(folder, 'macvlan'))
})
