/** The image: what is in it, and installer and agent in it as a container would run them. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chownSync,
  cpSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { sha256Of } from '../../install/files.ts'
import { layOutImage } from '../../packaging/image.ts'
import { fetchOver } from '../agent/http.ts'
import { root as repository } from '../house/sources.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { binaries, Host } from './host.ts'
import { commandOf, Image, instructions } from './image.ts'

let image: Image
beforeAll(() => {
  image = new Image()
})
afterAll(() => image[Symbol.dispose]())

test('the Dockerfile has only instructions that need nothing from outside, and no shell', () => {
  const rules: Record<string, RegExp> = {
    FROM: /^scratch$/,
    LABEL: /^org\.opencontainers\.image\.\w+="[^"]+"/,
    COPY: /^dist\/image\/ \/$/,
    ENV: /^PATH=\/opt\/berth$/,
    USER: /^0:0$/,
    ENTRYPOINT: /^\["\/opt\/berth\/berth"\]$/,
    CMD: /^\["agent"\]$/,
  }
  const wrong = instructions().filter(({ name, value }) => rules[name]?.test(value) !== true)
  expect(wrong).toEqual([])
  expect(instructions().map(({ name }) => name)).toEqual(Object.keys(rules))
  const ignored = readFileSync(join(repository, '.dockerignore'), 'utf8')
  expect(ignored.split('\n').slice(0, 4)).toEqual(['*', '!dist', 'dist/*', '!dist/image'])
})

/** Every path with what an image keeps of it. */
function listing(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const path = join(folder, name)
      const { mode, mtimeMs, size } = lstatSync(path)
      const content = lstatSync(path).isFile() ? `${size} ${sha256Of(path)}` : ''
      return `${name} ${mode.toString(8)} ${mtimeMs} ${content}`
    })
}

test('the same files give the same root file system, at whatever time', () => {
  const folders = [0, 1].map(() => join(temporaryDirectory(), 'image'))
  for (const folder of folders) layOutImage(binaries, folder, 1_700_000_000)
  const [one = [], other] = folders.map(listing)
  expect(one).toEqual(other)
  expect(one.filter((line) => !line.includes(' 1700000000000 '))).toEqual([])
})

test('the image has the program, the plugins, their libraries and licences, and nothing else', () => {
  const files = readdirSync(image.root, { recursive: true, encoding: 'utf8' }).filter(
    (name) => !lstatSync(join(image.root, name)).isDirectory(),
  )
  const known = [
    /^opt\/berth\/(berth|berth-[a-z]+|LICENSE|SHA256SUMS)$/,
    /^opt\/berth\/lib\/(ld\.so|lib(atomic|c|dl|gcc_s|m|pthread|stdc\+\+)\.so\.[0-9]+)$/,
    /^lib(64)?\/[\w.-]+$/,
    /^usr\/share\/doc\/[\w+-]+\/copyright$/,
  ]
  expect(files.filter((name) => !known.some((pattern) => pattern.test(name)))).toEqual([])
  const special = files.filter((name) => (lstatSync(join(image.root, name)).mode & 0o7000) !== 0)
  expect(special).toEqual([])
  expect(execFileSync('chroot', [image.root, ...commandOf(['version'])], { encoding: 'utf8' })).toMatch(/^[0-9.]+\n$/)
})

interface Container {
  readonly name: string
  readonly args: string[]
  readonly securityContext: { readonly capabilities: { readonly add?: string[]; readonly drop: string[] } }
}

/** A container of the DaemonSet. */
function containerOf(name: string): Container {
  const text = readFileSync(join(repository, 'install', 'manifests', 'base', 'daemonset.yaml'), 'utf8')
  const { initContainers, containers } = parse(text).spec.template.spec
  const found = [...initContainers, ...containers].find((container: Container) => container.name === name)
  if (found === undefined) throw new Error(`no container ${name}`)
  return found
}

/** What begins a command in the image that may only do what the container may. */
function confined({ securityContext }: Container): string[] {
  const { add = [], drop } = securityContext.capabilities
  expect(drop).toEqual(['ALL'])
  const all = /^Bounding set =(.*)$/m.exec(execFileSync('capsh', ['--print'], { encoding: 'utf8' }))?.[1] ?? ''
  const kept = add.map((name) => `cap_${name.toLowerCase()}`)
  const dropped = all.split(',').filter((name) => !kept.includes(name))
  const [program = '', ...rest] = commandOf([])
  expect(rest).toEqual([])
  return ['capsh', `--chroot=${image.root}`, `--drop=${dropped.join(',')}`, `--shell=${program}`, '--']
}

test('the installer works with the capabilities of the DaemonSet, and what it installs without anything else of the node', () => {
  const container = containerOf('install')
  const account = join(image.root, 'var/run/secrets/kubernetes.io/serviceaccount')
  mkdirSync(account, { recursive: true })
  for (const name of ['token', 'ca.crt', 'namespace']) writeFileSync(join(account, name), `the ${name}\n`)
  const [command = '', ...args] = [...confined(container), ...container.args]
  const env = {
    CNI_BIN_DIR: '/host/opt/cni/bin',
    CNI_CONF_DIR: '/host/etc/cni/net.d',
    BERTH_ALIASES: 'macvlan',
    KUBERNETES_SERVICE_HOST: '127.0.0.1',
    KUBERNETES_SERVICE_PORT: '1',
  }
  const done = spawnSync(command, args, { env: { PATH: process.env.PATH, ...env }, encoding: 'utf8' })
  expect([done.status, done.stderr]).toEqual([0, ''])
  expect(done.stdout).toMatch(/warning: the API server "https:\/\/127\.0\.0\.1:1" cannot be asked: .*\n$/)
  const kubeconfig = join(image.root, 'host/etc/cni/net.d/berth.d/berth.kubeconfig')
  expect(statSync(kubeconfig).mode & 0o777).toBe(0o600)
  expect(JSON.parse(readFileSync(kubeconfig, 'utf8')).users).toEqual([{ name: 'berth', user: { token: 'the token' } }])
  expect(JSON.parse(readFileSync(kubeconfig, 'utf8')).clusters[0].cluster.server).toBe('https://127.0.0.1:1')
  // A node with these folders, /proc and nothing else: no libc, no loader, no shell.
  const node = temporaryDirectory()
  cpSync(join(image.root, 'host'), node, { recursive: true, verbatimSymlinks: true })
  mkdirSync(join(node, 'proc'))
  const script = 'mount --rbind /proc "$0/proc"; exec env -i CNI_COMMAND=VERSION /usr/sbin/chroot "$0" "$1"'
  for (const name of ['berth-macvlan', 'berth-ipam', 'macvlan']) {
    const onNode = ['--mount', '--propagation', 'private', 'sh', '-ec', script, node, `/opt/cni/bin/${name}`]
    const asked = spawnSync('unshare', onNode, { encoding: 'utf8' })
    expect([asked.status, JSON.parse(asked.stdout).supportedVersions.at(-1)]).toEqual([0, '1.1.0'])
  }
})

test("the installer takes names in folders that are not root's from files that are not root's, and gives them back", () => {
  const container = containerOf('install')
  const node = join(image.root, 'host')
  rmSync(node, { recursive: true, force: true })
  const [binDir, confDir, uid] = [join(node, 'opt/cni/bin'), join(node, 'etc/cni/net.d'), 1001]
  for (const folder of [binDir, confDir]) {
    mkdirSync(folder, { recursive: true, mode: 0o755 })
    chownSync(folder, uid, uid)
  }
  writeFileSync(join(binDir, 'macvlan'), 'of somebody', { mode: 0o750 })
  chownSync(join(binDir, 'macvlan'), uid, uid)
  symlinkSync('macvlan', join(binDir, 'whereabouts'))
  lchownSync(join(binDir, 'whereabouts'), uid, uid)
  const env = {
    ...{ PATH: process.env.PATH, CNI_BIN_DIR: '/host/opt/cni/bin', CNI_CONF_DIR: '/host/etc/cni/net.d' },
    ...{ BERTH_ALIASES: 'macvlan,whereabouts', BERTH_FORCE: 'true' },
  }
  const [command = '', ...args] = [...confined(container), ...container.args]
  for (const more of [[], ['--uninstall']]) {
    const done = spawnSync(command, [...args, ...more], { env, encoding: 'utf8' })
    expect([done.status, done.stderr]).toEqual([0, ''])
    expect(lstatSync(join(binDir, 'macvlan')).isSymbolicLink()).toBe(more.length === 0)
  }
  expect([readdirSync(binDir), statSync(join(binDir, 'macvlan')).uid]).toEqual([['macvlan', 'whereabouts'], uid])
})

/** The agent in the image, in a node's network namespace, with the capabilities of the DaemonSet and a /proc/sys that is read-only. */
async function startAgent(host: Host): Promise<AsyncDisposable> {
  for (const folder of ['proc', 'run/netns', 'data', 'dev']) mkdirSync(join(image.root, folder), { recursive: true })
  const script = `
    mount --rbind /proc "$ROOT/proc"; mount --bind /proc/sys "$ROOT/proc/sys"; mount -o remount,bind,ro "$ROOT/proc/sys"
    mount --rbind /run/netns "$ROOT/run/netns"; mount --rbind /dev "$ROOT/dev"; mount --bind "$DATA" "$ROOT/data"
    exec "$@"`
  const places = ['--run-dir', '/data', '--data-dir', '/data', '--metrics-address', '/data/monitor.sock']
  const sweeps = ['--netns-dir', '/run/netns', '--sweep-seconds', '1', '--sweep-grace-seconds', '0', '--no-warm-up']
  const command = [...confined(containerOf('agent')), 'agent', ...places, ...sweeps]
  const inNode = ['nsenter', `--net=/run/netns/${host.node}`, 'unshare', '--mount', '--propagation', 'private']
  const env = { ...process.env, ROOT: image.root, DATA: host.dataDir, BERTH_LOG: 'warn' }
  const [program = '', ...args] = [...inNode, 'sh', '-ec', script, 'sh', ...command]
  const child = spawn(program, args, { env, stdio: ['ignore', 'inherit', 'inherit'] })
  await expect.poll(() => existsSync(join(host.dataDir, 'agent.sock')), { timeout: 20_000 }).toBe(true)
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await once(child, 'exit')
    },
  }
}

test('the agent answers every call, and sweeps, with the capabilities of the DaemonSet', async () => {
  using host = new Host()
  const monitor = join(host.dataDir, 'monitor.sock')
  await using _agent = await startAgent(host)
  const pod = host.pod()
  const ipRanges = [{ range: '10.20.0.0/24' }, { range: 'fd00:20::/64' }]
  const config = host.config({ hostAccess: true, ipam: { type: 'berth-ipam', ipRanges } })
  execFileSync('ip', ['-n', host.node, 'addr', 'add', '10.20.0.254/24', 'dev', host.nic])
  const prevResult = host.add(pod, config)
  expect(prevResult.ips).toHaveLength(2)
  for (const verb of ['CHECK', 'DEL']) expect(host.call(verb, pod, { ...config, prevResult }).stdout).toBe('')
  const gone = host.pod()
  host.add(gone, host.config())
  execFileSync('ip', ['netns', 'del', gone.name])
  await expect.poll(() => host.leaseFiles(), { timeout: 15_000 }).toEqual([])
  const { body } = await fetchOver(monitor, '/metrics')
  const calls = body.split('\n').filter((line) => line.startsWith('berth_calls_total{'))
  expect(calls.sort()).toEqual(
    ['ADD"', 'CHECK"', 'DEL"'].map((verb) =>
      expect.stringMatching(new RegExp(`plugin="berth-macvlan",verb="${verb},result="ok"} [12]$`)),
    ),
  )
  for (const path of ['/healthz', '/readyz']) expect((await fetchOver(monitor, path)).status).toBe(200)
})
