import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Deps } from '../../plugins/deps.ts'
import { isPluginName, pluginNames } from '../../plugins/names.ts'
import { oneShotDeps } from '../../plugins/one-shot.ts'
import type { Environment } from '../../shared/cni/request.ts'
import { environmentOfAdd } from '../shared/cni/requests.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { answerTo, callOf } from './calls.ts'

const dispatchModule = fileURLToPath(new URL('../../plugins/dispatch.ts', import.meta.url))

let deps: Deps
beforeEach(() => {
  deps = oneShotDeps({ BERTH_DATA_DIR: temporaryDirectory() })
})

const unread = (): string => expect.unreachable('standard input was read')

describe('isPluginName()', () => {
  it.each(['macvlan', 'sriov', 'whereabouts', 'host-local', 'static'])('knows the alias "%s"', (name) => {
    expect([isPluginName(name), pluginNames.includes(name)]).toEqual([true, false])
  })

  it.each(['berth-macvlan', 'berth-sriov', 'berth-ipam'])('knows %s', (name) => {
    expect([isPluginName(name), pluginNames.includes(name)]).toEqual([true, true])
  })

  it.each(['berth', '', 'bridge', 'macvlan2', 'toString', '__proto__', 'berth-ipam '])('does not know %j', (name) => {
    expect(isPluginName(name)).toBe(false)
  })
})

describe('dispatch() of VERSION', () => {
  it.each(['berth-macvlan', 'berth-ipam'])('answers for %s without reading standard input', async (name) => {
    const reply = await answerTo({ name, environment: { CNI_COMMAND: 'VERSION' }, readStdin: unread }, deps)
    expect(reply.exitCode).toBe(0)
    expect(reply.stdout).toBe(
      '{"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}\n',
    )
  })

  it('does not mind hostile variables', async () => {
    const environment = { CNI_COMMAND: 'VERSION', CNI_CONTAINERID: '../x', CNI_ARGS: 'bad' }
    expect(await answerTo({ name: 'berth-ipam', environment, readStdin: unread }, deps)).toMatchObject({ exitCode: 0 })
  })
})

describe('dispatch() of a call that cannot be read', () => {
  it.each([
    ['an unknown command', { CNI_COMMAND: 'FOO' }, '1.1.0', 4, 'unknown CNI_COMMAND: FOO'],
    ['a command in lower case', { CNI_COMMAND: 'add' }, '1.1.0', 4, 'unknown CNI_COMMAND: add'],
    ['a missing variable', { CNI_PATH: '' }, '0.4.0', 4, 'required env variables [CNI_PATH] missing'],
    ['a version that is none', {}, '1.1', 1, 'incompatible CNI versions'],
    ['a version of the future', {}, '2.0.0', 1, 'incompatible CNI versions'],
    ['CHECK in 0.3.1', { CNI_COMMAND: 'CHECK' }, '0.3.1', 1, 'config version does not allow CHECK'],
    ['GC in 1.0.0', { CNI_COMMAND: 'GC' }, '1.0.0', 1, 'config version does not allow GC'],
    ['STATUS in 1.0.0', { CNI_COMMAND: 'STATUS' }, '1.0.0', 1, 'config version does not allow STATUS'],
  ])('answers %s with its error, and exit code 1', async (_, environment, cniVersion, code, msg) => {
    const { exitCode, json } = await answerTo(callOf('berth-macvlan', environment, { cniVersion }), deps)
    expect(exitCode).toBe(1)
    expect(json).toMatchObject({ code, msg })
  })

  it.each([
    ['that of the config when the config could be read', '{"cniVersion":"0.4.0"}', '0.4.0'],
    ['that of the config when it is none of ours', '{"cniVersion":"9.9.9","name":"storage"}', '9.9.9'],
    ['0.1.0 when the config has an empty one', '{"cniVersion":""}', '0.1.0'],
    ['the newest when the config is broken', '{"cniVersion":"0.4.0"', '1.1.0'],
    ['0.1.0 when the config has none', '{}', '0.1.0'],
    ['0.1.0 when it is null', '{"cniVersion":null}', '0.1.0'],
    ['the newest when it is no text', '{"cniVersion":5}', '1.1.0'],
  ])('answers in a version: %s', async (_, stdin, cniVersion) => {
    const call = { name: 'berth-ipam', environment: environmentOfAdd, readStdin: () => stdin }
    expect((await answerTo(call, deps)).json).toMatchObject({ cniVersion })
  })

  it('answers broken JSON with code 6 in one line of JSON', async () => {
    const call = { name: 'berth-ipam', environment: environmentOfAdd, readStdin: () => '{' }
    const { exitCode, stdout, json } = await answerTo(call, deps)
    expect([exitCode, stdout.split('\n')]).toEqual([1, [stdout]])
    expect(json).toMatchObject({ code: 6, msg: expect.stringMatching(/^error unmarshall network config: /) })
  })

  it('makes nothing on disk', async () => {
    await answerTo(callOf('berth-ipam', {}, { name: '../x' }), deps)
    await answerTo(callOf('berth-ipam', {}, { ipam: null }), deps)
    expect(deps.store.exists()).toBe(false)
  })
})

describe('dispatch() of a defect', () => {
  it('answers with code 999 when no plugin has the name', async () => {
    const { exitCode, json } = await answerTo(callOf('berth-nothing', {}), deps)
    expect([exitCode, json]).toEqual([
      1,
      { cniVersion: '1.1.0', code: 999, msg: 'no plugin is called "berth-nothing"' },
    ])
  })

  it('answers with code 999 and the words of what was thrown', async () => {
    const readStdin = () => {
      throw new TypeError('x is not iterable')
    }
    const { json } = await answerTo({ name: 'berth-ipam', environment: environmentOfAdd, readStdin }, deps)
    expect(json).toEqual({ cniVersion: '1.1.0', code: 999, msg: 'x is not iterable' })
  })
})

describe('dispatch() of a defect, on standard error', () => {
  it('says where the defect is', () => {
    const program = `
      const { dispatch } = await import(${JSON.stringify(dispatchModule)})
      function theDefect() { throw new TypeError('x is not iterable') }
      await dispatch({ name: 'berth-ipam', environment: ${JSON.stringify(environmentOfAdd)}, readStdin: theDefect }, {}, {})`
    const run = spawnSync(process.execPath, ['--no-warnings', '--input-type=module', '-e', program], {
      encoding: 'utf8',
    })
    expect(run.stderr).toContain('x is not iterable')
    expect(run.stderr).toContain('at theDefect')
  })
})

describe('dispatch() of berth-macvlan', () => {
  it.each<[string, Environment, object, number, string]>([
    ['a config that cannot be read', {}, { mode: 'x' }, 7, 'Cannot read "mode": "x"'],
    [
      'a config without ipam in 0.2.0',
      {},
      { cniVersion: '0.2.0' },
      7,
      'Cannot attach without ipam: cniVersion "0.2.0"',
    ],
    ['a namespace that is not there', {}, {}, 4, 'Cannot open CNI_NETNS "/run/netns/pod-1"'],
    ['a namespace that is a file', { CNI_NETNS: '/proc/version' }, {}, 4, 'Cannot open CNI_NETNS "/proc/version"'],
    ['its own namespace', { CNI_NETNS: '/proc/self/ns/net' }, {}, 8, 'should not be the same'],
    ['CHECK without prevResult', { CNI_COMMAND: 'CHECK' }, {}, 7, 'required prevResult missing'],
    [
      'CHECK with the result of another interface',
      { CNI_COMMAND: 'CHECK' },
      { prevResult: { interfaces: [{ name: 'net2' }] } },
      105,
      'prevResult has no interface "net1"',
    ],
  ])('refuses %s before anything is claimed', async (_, environment, config, code, words) => {
    const { exitCode, json } = await answerTo(callOf('berth-macvlan', environment, config), deps)
    expect(exitCode).toBe(1)
    expect(json).toMatchObject({ code, msg: expect.stringContaining(words) })
    expect(deps.store.exists()).toBe(false)
  })

  it.each([
    ['is gone', { CNI_NETNS: '/run/netns/absent' }],
    ['was never named', { CNI_NETNS: '' }],
    ['is no namespace any more', { CNI_NETNS: '/proc/version' }],
  ])('succeeds with DEL when nothing is recorded and the namespace %s', async (_, environment) => {
    const reply = await answerTo(callOf('berth-macvlan', { CNI_COMMAND: 'DEL', ...environment }, { mode: 'x' }), deps)
    expect(reply).toEqual({ exitCode: 0, stdout: '', json: undefined })
    expect(deps.store.exists()).toBe(false)
  })
})
