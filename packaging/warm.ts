/**
 * Makes the code cache of a text of plugins: runs it through real calls, then asks V8 for all it has compiled.
 *
 * Run by packaging/build.ts in a network namespace of its own, with `<text> <cache> <pod namespace>` as arguments and
 * a link "nic" to attach to. The text is evaluated once a call, as a process would; V8 keeps the compiled functions.
 */
import ffi from 'node:ffi'
import fs, { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { Script } from 'node:vm'
import { callNumbers } from '../shared/host/libc.ts'

const [textPath = '', cachePath = '', netns = ''] = process.argv.slice(2)
const dataDir = mkdtempSync(join(tmpdir(), 'berth-warm-'))
const script = new Script(readFileSync(textPath, 'latin1'), { filename: basename(textPath) })

const config = (ipam: object | undefined): object => ({
  cniVersion: '1.0.0',
  name: 'warm',
  type: 'berth-macvlan',
  master: 'nic',
  ipam,
})
const v4 = { type: 'berth-ipam', range: '10.0.0.0/24', gateway: '10.0.0.1', routes: [{ dst: '0.0.0.0/0' }] }
const dual = {
  type: 'berth-ipam',
  ipRanges: [{ range: '10.0.1.0/24' }, { range: 'fd00::/64' }],
  routes: [{ dst: 'fd01::/64', gw: 'fd00::1' }],
}

/** Evaluates the text as if called under `name` and returns what it printed. */
async function call(name: string, verb: string, stdin: object): Promise<string> {
  let printed = ''
  const filesystem = {
    ...fs,
    readFileSync: (path: string | number, encoding: 'utf8') =>
      path === 0 ? JSON.stringify(stdin) : readFileSync(path, encoding),
    writeSync: (fd: number, bytes: Uint8Array, offset?: number) => {
      if (fd !== 1) return fs.writeSync(fd, bytes, offset)
      printed += Buffer.from(bytes).toString()
      return bytes.length
    },
  }
  const load = createRequire(import.meta.url)
  const env = {
    CNI_COMMAND: verb,
    CNI_CONTAINERID: 'warm',
    CNI_NETNS: netns,
    CNI_IFNAME: 'net1',
    CNI_PATH: '/nowhere',
    BERTH_DATA_DIR: dataDir,
  }
  // A call's end is not that of this process.
  const foreign = {
    ...ffi,
    dlopen(...args: Parameters<typeof ffi.dlopen>) {
      const library = ffi.dlopen(...args)
      const { syscall } = library.functions
      const unlessExit = (number: bigint, ...words: bigint[]): unknown =>
        number === BigInt(callNumbers.exit_group) ? 0n : syscall?.(number, ...words)
      return { ...library, functions: { ...library.functions, syscall: unlessExit } }
    },
  }
  const replaced: Record<string, unknown> = { 'node:fs': filesystem, fs: filesystem, 'node:ffi': foreign }
  const requireFor = (id: string): unknown => replaced[id] ?? load(id)
  const process_ = Object.create(process, { env: { value: env } })
  const exitCode: number = await script.runInThisContext()(requireFor, process_).main(name, 'warm')
  if (exitCode !== 0) throw new Error(`warm-up ${name} ${verb} failed: ${printed}`)
  return printed
}

try {
  await call('berth-macvlan', 'VERSION', {})
  // ADD and DEL only: what the cache has of other verbs, every ADD would load.
  for (const ipam of [undefined, dual, v4]) {
    const conf = config(ipam)
    const prevResult = JSON.parse(await call('berth-macvlan', 'ADD', conf))
    await call('berth-macvlan', 'DEL', { ...conf, prevResult })
  }
  await call('berth-ipam', 'ADD', config(v4))
  await call('berth-ipam', 'DEL', config(v4))
  writeFileSync(cachePath, script.createCachedData())
} finally {
  rmSync(dataDir, { recursive: true, force: true })
}
