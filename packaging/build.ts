/**
 * Builds dist/cni: one packaged program and its other names.
 *
 * @yao-pkg/pkg's single-executable mode, through its exported function because its command line ignores seaConfig. The
 * Node that is packed is the one that runs this script, so nothing is downloaded. It is stripped before, not after:
 * the injected program is a section that strip would drop.
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, linkSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { build } from 'esbuild'
import { pluginNames } from '../plugins/dispatch.ts'

const root = join(import.meta.dirname, '..')
const work = join(root, 'dist', 'work')
const out = join(root, 'dist', 'cni')
const program = join(out, 'berth')

interface SeaOptions {
  targets: { nodeRange: string; platform: string; arch: string; output: string }[]
  nodePath: string
  seaConfig: Record<string, unknown>
}

/** What proper-lockfile needs of these when it is given its own `fs` and a lock that dies with the process: nothing. */
const replaced = {
  'graceful-fs': 'module.exports = require("node:fs")',
  'signal-exit': 'module.exports = () => () => undefined',
}

async function bundle(entry: string, outfile: string): Promise<void> {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node26',
    format: 'cjs',
    minify: true,
    legalComments: 'none',
    define: { BERTH_VERSION: JSON.stringify(version) },
    plugins: [
      {
        name: 'replaced',
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /^(graceful-fs|signal-exit)$/ }, ({ path }) => ({ path, namespace: 'replaced' }))
          onLoad({ filter: /.*/, namespace: 'replaced' }, ({ path }) => ({ contents: Reflect.get(replaced, path) }))
        },
      },
    ],
  })
}

/** Packs a bundled script into an executable. */
export async function pack(entry: string, output: string): Promise<void> {
  mkdirSync(work, { recursive: true })
  const script = join(work, `${output.split('/').at(-1)}.cjs`)
  await bundle(entry, script)
  const node = join(work, 'node')
  copyFileSync(process.execPath, node)
  execFileSync('strip', [node])
  const sea: (entry: string, options: SeaOptions) => Promise<void> = createRequire(import.meta.url)('@yao-pkg/pkg/lib-es5/sea.js').default
  const nodeRange = `node${process.versions.node}`
  await sea(script, {
    targets: [{ nodeRange, platform: 'linux', arch: process.arch, output }],
    nodePath: node,
    seaConfig: {
      disableExperimentalSEAWarning: true,
      useCodeCache: true,
      // node:ffi warns on standard error that it is experimental; the version is pinned and the binding checks itself.
      execArgv: ['--disable-warning=ExperimentalWarning'],
      execArgvExtension: 'none',
    },
  })
}

if (import.meta.main) {
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out, { recursive: true })
  await pack(join(root, 'main.ts'), program)
  for (const name of pluginNames) linkSync(program, join(out, name))
  process.stdout.write(`packed Node ${process.versions.node} into ${program} (${['berth', ...pluginNames].join(', ')})\n`)
}
