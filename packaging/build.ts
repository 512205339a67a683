/**
 * Builds dist/cni: one packaged program, and the launcher under the names of the plugins.
 *
 * @yao-pkg/pkg's single-executable mode, through its exported function because its command line ignores seaConfig. The
 * Node that is packed is the one that runs this script, so nothing is downloaded. It is stripped before, not after:
 * the injected program is a section that strip would drop. docs/decisions/004-packaging.md has what was tried.
 */
import { execFileSync, spawn } from 'node:child_process'
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { build } from 'esbuild'
import { pluginNames } from '../plugins/names.ts'
import { archOf, installLauncher } from './launcher.ts'
import { cacheAlignBytes, cacheOf, texts, warmTexts } from './texts.ts'

const root = join(import.meta.dirname, '..')
export const work = join(root, 'dist', 'work')
const out = join(root, 'dist', 'cni')

/** node:ffi warns on standard error that it is experimental; the version is pinned and the binding checks itself. */
const quiet = '--disable-warning=ExperimentalWarning'

/** Options of Node and the few of V8 for which a code cache is not void. */
export const nodeOptions = [
  quiet,
  // V8's threads: a call is too short for four of them to help it, and each has to be started and woken.
  '--v8-pool-size=1',
  // No thread that waits for a signal to open a debugger's door.
  '--disable-sigusr1',
  // MiB: a call stays below it, and the agent's memory does not grow with how much it has to do.
  '--max-semi-space-size=1',
]

/** Parts of prom-client that its main file loads, with half of Node behind them, and that nobody here uses. */
const unused = /^\.\/lib\/(pushgateway|cluster|defaultMetrics)$/

/** What proper-lockfile needs of these when it is given its own `fs` and a lock that dies with the process: nothing. */
const replaced = {
  'graceful-fs': 'module.exports = require("node:fs")',
  'signal-exit': 'module.exports = () => () => undefined',
}

interface SeaOptions {
  targets: { nodeRange: string; platform: string; arch: string; output: string }[]
  nodePath: string
  seaConfig: Record<string, unknown>
}

/** A script of `entry`, a path from the root, and all that it imports. */
async function bundle(entry: string, outfile: string): Promise<void> {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  await build({
    entryPoints: [join(root, entry)],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node26',
    format: 'cjs',
    minify: true,
    charset: 'ascii',
    legalComments: 'none',
    // Nothing is an entry of its own here.
    define: { BERTH_VERSION: JSON.stringify(version), 'import.meta.main': 'false' },
    plugins: [
      {
        name: 'replaced',
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /^(graceful-fs|signal-exit)$/ }, ({ path }) => ({ path, namespace: 'replaced' }))
          onResolve({ filter: unused }, ({ path, importer }) =>
            importer.includes('/prom-client/') ? { path, namespace: 'unused' } : undefined,
          )
          onLoad({ filter: /.*/, namespace: 'unused' }, () => ({ contents: '' }))
          onLoad({ filter: /.*/, namespace: 'replaced' }, ({ path }) => ({ contents: Reflect.get(replaced, path) }))
        },
      },
    ],
  })
}

/** A text is a function, as packaging/loader.ts and packaging/warm.ts call it; it returns what `entry` exports. */
async function bundleText(entry: string, outfile: string): Promise<void> {
  await bundle(entry, outfile)
  const body = readFileSync(outfile, 'utf8')
  writeFileSync(outfile, `(function (require, process) {var module={exports:{}};${body}\nreturn module.exports})`)
}

/** Re-runs this script's warm-up in a fresh network namespace with a pod and a NIC in it (see warm.ts). */
async function warmUp(text: string, cache: string): Promise<void> {
  const pod = spawn('unshare', ['--net', 'sleep', '60'], { stdio: 'ignore' })
  try {
    const netns = `/proc/${pod.pid}/ns/net`
    while (readlinkSync(netns) === readlinkSync('/proc/self/ns/net')) await pause(1)
    const warm = [process.execPath, ...nodeOptions, join(import.meta.dirname, 'warm.ts'), text, cache, netns]
    const commands = [
      'ip link add nic type veth peer name wire',
      'ip link set nic up',
      'ip link set wire up',
      'exec "$@"',
    ]
    execFileSync('unshare', ['--net', 'sh', '-ec', commands.join('\n'), 'warm', ...warm], { stdio: 'inherit' })
  } finally {
    pod.kill('SIGKILL')
  }
}

/** Packs a CommonJS script, with options of Node and assets by name, into an executable. */
export async function pack(
  script: string,
  output: string,
  options: readonly string[] = [quiet],
  assets: Record<string, string> = {},
): Promise<void> {
  const node = join(work, 'node')
  copyFileSync(process.execPath, node)
  execFileSync('strip', [node])
  const sea: (entry: string, options: SeaOptions) => Promise<void> = createRequire(import.meta.url)(
    '@yao-pkg/pkg/lib-es5/sea.js',
  ).default
  await sea(script, {
    targets: [{ nodeRange: `node${process.versions.node}`, platform: 'linux', arch: process.arch, output }],
    nodePath: node,
    seaConfig: {
      disableExperimentalSEAWarning: true,
      useCodeCache: true,
      execArgv: options,
      // A NODE_OPTIONS in the runtime's environment is not for us, and V8 options in it would void the cache.
      execArgvExtension: 'none',
      assets,
    },
  })
}

/**
 * A code cache as an asset: bytes before it that each say how many they are, 1 to 8, the cache, and what is left of 8 behind it.
 * packaging/loader.ts takes it out again.
 */
function paddedCache(cache: Buffer, before: number): Buffer {
  return Buffer.concat([Buffer.alloc(before, before), cache, Buffer.alloc(cacheAlignBytes - before)])
}

/** Moves the cache within its asset to where V8 need not copy it. A file is mapped by whole pages, so places in it tell those in memory. */
function alignCache(executable: string, cache: Buffer): void {
  const packed = paddedCache(cache, cacheAlignBytes)
  const place = readFileSync(executable).indexOf(packed)
  if (place < 0) throw new Error(`no code cache in ${executable}`)
  const fd = openSync(executable, 'r+')
  writeSync(fd, paddedCache(cache, cacheAlignBytes - (place % cacheAlignBytes)), 0, packed.length, place)
  closeSync(fd)
}

if (import.meta.main) {
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out, { recursive: true })
  mkdirSync(work, { recursive: true })
  const at = (name: string): string => join(work, name)
  const executable = join(out, 'berth')
  const assets: Record<string, string> = {}
  const caches: Buffer[] = []
  for (const [name, entry] of Object.entries(texts)) {
    assets[name] = at(`berth-${name}.js`)
    await bundleText(entry, assets[name])
  }
  for (const name of Object.keys(warmTexts)) {
    const cache = at(`berth-${cacheOf(name)}`)
    assets[cacheOf(name)] = cache
    await warmUp(at(`berth-${name}.js`), cache)
    const unpadded = readFileSync(cache)
    caches.push(unpadded)
    writeFileSync(cache, paddedCache(unpadded, cacheAlignBytes))
  }
  await bundle('packaging/loader.ts', at('berth.js'))
  await pack(at('berth.js'), executable, nodeOptions, assets)
  for (const cache of caches) alignCache(executable, cache)
  installLauncher(out, archOf(process.arch))
  process.stdout.write(
    `packed Node ${process.versions.node} into ${out} (berth; launcher: ${pluginNames.join(', ')})\n`,
  )
}
