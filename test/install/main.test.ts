/** `berth install` as its command line has it, on a node that is a folder. */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { main } from '../../install/main.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { filesOf } from './node.ts'

let root: string
let binDir: string
let confDir: string
const said: string[] = []

vi.mock('../../shared/write.ts', () => ({ writeAll: (_: number, text: string) => void said.push(text) }))

beforeEach(() => {
  root = temporaryDirectory()
  binDir = join(root, 'bin')
  confDir = join(root, 'etc/cni/net.d')
})
afterEach(() => vi.unstubAllEnvs())

/** Runs it, and returns the exit code and what was said last. */
async function run(...args: string[]): Promise<[number, string]> {
  const code = await main(['--cni-bin-dir', binDir, '--cni-conf-dir', confDir, ...args], '1.0.0')
  return [code, said.splice(0).at(-1)?.trim() ?? '']
}

const install = (...args: string[]) => run('--from', filesOf('one'), ...args)

describe('berth install --uninstall', () => {
  it('works where the environment still says what was installed', async () => {
    vi.stubEnv('BERTH_ALIASES', 'macvlan,whereabouts')
    expect(await install()).toEqual([0, expect.stringMatching(/^installed 1\.0\.0-/)])
    expect(existsSync(join(binDir, 'whereabouts'))).toBe(true)
    expect(await run('--uninstall')).toEqual([0, 'nothing of ours is left'])
    expect([readdirSync(binDir), existsSync(join(confDir, 'berth.d'))]).toEqual([[], false])
  })

  it('removes what is behind a symbolic link to the folder of plugins', async () => {
    const real = join(root, 'usr/libexec/cni')
    mkdirSync(real, { recursive: true })
    symlinkSync(real, binDir)
    expect((await install())[0]).toBe(0)
    expect(readdirSync(real)).toContain('berth-ipam')
    expect((await run('--uninstall'))[0]).toBe(0)
    expect(readdirSync(real)).toEqual([])
  })

  it('leaves no token and no folder that a killed one has left', async () => {
    await install()
    const own = join(confDir, 'berth.d')
    unlinkSync(join(own, 'berth.conf'))
    writeFileSync(join(own, '.new,berth.kubeconfig'), 'token')
    await run('--uninstall')
    expect(existsSync(own)).toBe(false)
    mkdirSync(own)
    await run('--uninstall')
    expect(existsSync(own)).toBe(false)
  })

  it('removes leases only where they are, and when nobody holds one', async () => {
    await install()
    const dataDir = join(root, 'data')
    const remove = (...more: string[]) => run('--uninstall', '--with-leases', '--data-dir', dataDir, ...more)
    expect(await remove()).toEqual([1, expect.stringContaining('there is no such directory')])
    for (const folder of ['leases', 'vf']) mkdirSync(join(dataDir, folder), { recursive: true })
    for (const name of ['net-a,c1,net1', '10.0.0.1', '~net-a,shop,web-0,net1', '.new,net-a,c2,net1'])
      writeFileSync(join(dataDir, 'leases', name), '')
    writeFileSync(join(dataDir, 'vf', '.looks'), '')
    expect(await remove()).toEqual([
      1,
      `berth install: Cannot remove the leases in "${dataDir}": "net-a/c1/net1" is held (--force removes them all the same)`,
    ])
    writeFileSync(join(dataDir, 'vf', '0000:03:02.1'), '')
    expect((await remove())[1]).toContain('"net-a/c1/net1" and 1 more are held')
    expect(readdirSync(binDir)).toContain('berth-ipam')
    expect((await remove('--force'))[0]).toBe(0)
    expect([existsSync(dataDir), readdirSync(binDir)]).toEqual([false, []])
  })
})

describe('berth install', () => {
  it('has made nothing when it is refused', async () => {
    mkdirSync(binDir)
    writeFileSync(join(binDir, 'berth'), 'of somebody')
    expect(await install()).toEqual([1, expect.stringContaining('it is not from this installer')])
    expect(readdirSync(binDir)).toEqual(['berth'])
  })

  it('leaves a berth.conf that is a symbolic link, even one that leads nowhere', async () => {
    mkdirSync(join(confDir, 'berth.d'), { recursive: true })
    const path = join(confDir, 'berth.d/berth.conf')
    for (const target of [join(root, 'own.conf'), 'nowhere']) {
      if (target !== 'nowhere') writeFileSync(target, '{"ipam": {}}')
      symlinkSync(target, path)
      expect((await install())[0]).toBe(0)
      expect([existsSync(path), readFileSync(join(root, 'own.conf'), 'utf8')]).toEqual([
        target !== 'nowhere',
        '{"ipam": {}}',
      ])
      unlinkSync(path)
    }
  })

  it('refuses defaults for a folder in which no call looks for them', async () => {
    confDir = join(root, 'elsewhere')
    expect(await install('--defaults', '{}')).toEqual([1, expect.stringContaining('Cannot write defaults into')])
    expect((await install())[0]).toBe(0)
  })
})

describe("an alias that the node's own networks use", () => {
  const use = (name: string, config: unknown): void => {
    mkdirSync(confDir, { recursive: true })
    writeFileSync(join(confDir, name), typeof config === 'string' ? config : JSON.stringify(config))
  }

  it.each([
    ['a list', '10-kindnet.conflist', { plugins: [{ type: 'ptp', ipam: { type: 'host-local' } }] }],
    ["Flannel's", '10-flannel.conflist', { plugins: [{ type: 'flannel', delegate: { hairpinMode: true } }] }],
    ["Multus' delegate", '00-multus.conf', { type: 'multus', delegates: [{ ipam: { type: 'host-local' } }] }],
  ])('is refused, and named with the config, in %s', async (_, name, config) => {
    use('05-broken.conf', '{')
    use(name, config)
    expect(await install('--alias', 'host-local')).toEqual([
      1,
      `berth install: Cannot answer as "host-local": "${confDir}/${name}" uses it, and may be the cluster's own network (--alias-primary takes that over as well)`,
    ])
    expect((await install('--alias', 'macvlan'))[0]).toBe(0)
    expect((await install('--alias', 'host-local', '--alias-primary'))[0]).toBe(0)
    // What is so already is no reason to stop an upgrade.
    expect((await install('--alias', 'host-local'))[0]).toBe(0)
  })
})
