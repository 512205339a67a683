import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { CniError } from '../../../shared/cni/errors.ts'
import { type Delegation, delegate } from '../../../shared/host/delegate.ts'
import { temporaryDirectory } from '../temporary.ts'

let folder: string
beforeEach(() => {
  folder = temporaryDirectory()
})

/** A plugin that is this shell script. */
function plugin(script: string, into = folder): void {
  writeFileSync(`${into}/fake`, `#!/bin/sh\n${script}\n`)
  chmodSync(`${into}/fake`, 0o755)
}

const delegationOf = (wish: Partial<Delegation> = {}): Delegation => ({
  type: 'fake',
  verb: 'ADD',
  folders: [folder],
  environment: { PATH: '/usr/bin:/bin', CNI_COMMAND: 'CHECK', CNI_IFNAME: 'net1' },
  stdin: '{}',
  ...wish,
})

async function failureOf(delegation: Delegation): Promise<CniError> {
  const error = await delegate(delegation).then(
    () => new Error('the plugin was expected to fail'),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof CniError)) throw error
  return error
}

describe('delegate()', () => {
  it('gives the plugin the config, our environment and the verb, and answers what it prints', async () => {
    plugin('echo "$CNI_COMMAND $CNI_IFNAME"; cat')
    expect(await delegate(delegationOf({ stdin: '{"name":"\u00e4"}' }))).toBe('ADD net1\n{"name":"\u00e4"}')
  })

  it('passes on a config larger than a pipe', async () => {
    plugin('cat')
    const stdin = JSON.stringify({ filler: '\u00e4'.repeat(500_000) })
    expect((await delegate(delegationOf({ stdin }))) === stdin).toBe(true)
  })

  it('does not mind a plugin that does not read its config', async () => {
    plugin('exec 0<&-; echo done')
    expect(await delegate(delegationOf({ stdin: 'x'.repeat(1_000_000) }))).toBe('done\n')
  })

  it('runs the first plugin of that name that can be run', async () => {
    const folders = ['absent', 'plain', 'first', 'second'].map((name) => `${folder}/${name}`)
    for (const path of folders.slice(1)) {
      mkdirSync(path)
      plugin(`echo ${path}`, path)
    }
    chmodSync(`${folder}/plain/fake`, 0o644)
    expect(await delegate(delegationOf({ folders }))).toBe(`${folder}/first\n`)
  })

  it('passes on the error of the plugin, code and all', async () => {
    plugin(`echo '{"code":11,"msg":"try again","details":"busy"}'; exit 1`)
    expect(await failureOf(delegationOf())).toMatchObject({ code: 11, message: 'try again', details: 'busy' })
  })

  it.each([
    ['prints nothing', 'exit 3', 'Plugin "fake" failed: exit code 3', ''],
    ['prints words', 'echo broken; exit 1', 'Plugin "fake" failed: exit code 1', 'broken\n'],
    ['prints other JSON', `echo '{"msg":"no"}'; exit 1`, 'Plugin "fake" failed: exit code 1', '{"msg":"no"}\n'],
    ['prints null', 'echo null; exit 1', 'Plugin "fake" failed: exit code 1', 'null\n'],
    ['is killed', 'kill -9 $$', 'Plugin "fake" failed: killed by SIGKILL', ''],
  ])('fails when the plugin %s', async (_, script, message, details) => {
    plugin(script)
    const failure = await failureOf(delegationOf())
    expect([failure.errorName, failure.code]).toEqual(['ERR_DELEGATE', 106])
    expect([failure.message, failure.details]).toEqual([message, details])
  })

  it('kills a plugin that prints without end', async () => {
    plugin('exec yes')
    expect((await failureOf(delegationOf())).message).toBe(
      'Plugin "fake" failed: its answer is longer than 4194304 characters',
    )
  })

  it('fails when the plugin cannot be started', async () => {
    writeFileSync(`${folder}/fake`, '#!/nowhere/interpreter\n')
    chmodSync(`${folder}/fake`, 0o755)
    const failure = await failureOf(delegationOf())
    expect([failure.errorName, failure.message.startsWith(`Cannot run "${folder}/fake": `)]).toEqual([
      'ERR_DELEGATE',
      true,
    ])
  })

  it.each([
    ['no folder has it', 'absent', 'failed to find plugin "absent" in path ['],
    ['it is a path', '../../bin/sh', 'Cannot call plugin "../../bin/sh": the type is a path'],
    ['it is a path from the root', '/bin/sh', 'Cannot call plugin "/bin/sh": the type is a path'],
  ])('refuses a type when %s', async (_, type, message) => {
    const failure = await failureOf(delegationOf({ type }))
    expect([failure.errorName, failure.code, failure.message.startsWith(message)]).toEqual(['ERR_CONFIG', 7, true])
  })

  it('passes over a folder that has the name of the plugin', async () => {
    mkdirSync(`${folder}/first/fake`, { recursive: true })
    plugin('echo found')
    expect(await delegate(delegationOf({ folders: [`${folder}/first`, folder] }))).toBe('found\n')
  })
})
