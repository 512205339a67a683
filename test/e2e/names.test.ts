/** The packaged program under each of its names: which text answers is nobody's business but the program's. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { pluginNames } from '../../plugins/names.ts'
import { oneShotDeps } from '../../plugins/one-shot.ts'
import { aliasNames } from '../../shared/aliases.ts'
import type { Environment } from '../../shared/cni/request.ts'
import { answerTo, callOf } from '../plugins/calls.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { binaries } from './host.ts'

const program = join(binaries, 'berth')

const run = (name: string, environment: Environment, input = '') =>
  spawnSync(program, [], { argv0: `/opt/cni/bin/${name}`, env: environment, input, encoding: 'utf8' })

const names = [...pluginNames, ...aliasNames]

test.each(names)('%s says what it is, and which versions it speaks', async (name) => {
  const about = run(name, {})
  expect([about.status, about.stdout]).toEqual([0, ''])
  expect(about.stderr).toContain(`CNI ${name} plugin `)
  const environment = { CNI_COMMAND: 'VERSION' }
  const { status, stdout } = run(name, environment)
  const expected = await answerTo({ name, environment, readStdin: () => '' }, oneShotDeps({}))
  expect([status, stdout]).toEqual([0, expected.stdout])
})

/** What each plugin says, and no other, before it looks at the node. */
const refused: [string, object, string][] = [
  ['berth-macvlan', { mode: 'x' }, 'must be one of bridge'],
  ['berth-ipvlan', { mode: 'x' }, 'must be one of l2'],
  ['berth-sriov', { link_state: 'x' }, 'must be one of auto'],
  ['sriov', { link_state: 'x' }, 'must be one of auto'],
  ['berth-ipam', { ipam: { type: 'berth-ipam', range: 'x' } }, 'ipam.range'],
]

test.each(refused)('%s refuses a config in the words of the sources', async (name, config, words) => {
  const call = callOf(name, { BERTH_DATA_DIR: temporaryDirectory() }, config)
  const { status, stdout } = run(name, call.environment, call.readStdin())
  const expected = await answerTo(call, oneShotDeps(call.environment))
  expect([status, stdout]).toEqual([1, expected.stdout])
  expect(stdout).toContain(words)
})
