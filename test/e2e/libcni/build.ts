/**
 * The clients of these tests, built from source into dist/work: a driver on Debian's libcni, which needs nothing but two
 * packages, and cnitool of the newest libcni, which needs a Go module and is done without where there is none.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

const work = join(import.meta.dirname, '..', '..', '..', 'dist', 'work')
/** Debian's own Go, whatever other is first in PATH: the packaged libcni is meant for it. */
const debianGo = '/usr/lib/go/bin/go'
const libcniModule = 'github.com/containernetworking/cni'
/** The minor version of Go 1 that this module's `go` line asks for. */
const moduleGoMinor = 21
/** A registry that cannot be reached must not hold up the tests until their own time-out. */
const downloadTimeoutMs = 60_000

/** What every build has: no C compiler, each Go its own library, none fetched, a cache that `make clean` removes. */
const goEnvironment = (more: Record<string, string>): NodeJS.ProcessEnv => ({
  ...process.env,
  CGO_ENABLED: '0',
  GOROOT: '',
  GOTOOLCHAIN: 'local',
  GOCACHE: join(work, 'go-build'),
  ...more,
})

function build(go: string, cwd: string, environment: NodeJS.ProcessEnv, source: string, name: string): string {
  mkdirSync(work, { recursive: true })
  const output = join(work, name)
  const args = ['build', '-trimpath', '-buildvcs=false', '-o', output, source]
  execFileSync(go, args, { cwd, env: environment, encoding: 'utf8', stdio: ['ignore', 'inherit', 'pipe'] })
  return output
}

let driver: string | undefined

/** Builds the driver once and returns its path. Throws with the compiler's words, also when the packages are missing. */
export function buildDriver(): string {
  const environment = goEnvironment({
    GO111MODULE: 'off',
    GOPATH: '/usr/share/gocode',
    GOPROXY: 'off',
    GOFLAGS: '',
    GOENV: 'off',
  })
  driver ??= build(debianGo, join(import.meta.dirname, 'driver'), environment, '.', 'libcni-driver')
  return driver
}

/** Paths of the programs that are built from the module. */
export interface ModulePrograms {
  readonly cnitool: string
  readonly gc: string
}

/** A Go that is new enough for the module: the one in PATH, or Debian's. */
function findGo(environment: NodeJS.ProcessEnv): string | undefined {
  return ['go', debianGo].find((go) => {
    const { stdout } = spawnSync(go, ['env', 'GOVERSION'], { env: environment, encoding: 'utf8' })
    const minor = /^go1\.(\d+)/.exec(stdout ?? '')?.[1]
    return minor !== undefined && Number(minor) >= moduleGoMinor
  })
}

/** Builds cnitool and the GC program, or says why it cannot: only what the machine lacks is a reason, the rest throws. */
export function buildCnitool(): ModulePrograms | { readonly missing: string } {
  const environment = goEnvironment({ GO111MODULE: 'on', GOFLAGS: '-mod=readonly', GOWORK: 'off' })
  const go = findGo(environment)
  if (go === undefined) return { missing: `no Go 1.${moduleGoMinor} or newer` }
  const cwd = join(import.meta.dirname, 'cnitool')
  const options = { cwd, env: environment, encoding: 'utf8', timeout: downloadTimeoutMs } as const
  const download = spawnSync(go, ['mod', 'download', libcniModule], options)
  // Another module than go.sum promises is no reason to skip.
  if (download.stderr.includes('SECURITY ERROR')) throw new Error(download.stderr)
  if (download.status !== 0) {
    const why = download.stderr.trim().split('\n').at(-1) || `no answer within ${downloadTimeoutMs / 1000} s`
    return { missing: `no Go module ${libcniModule}: ${why}` }
  }
  return {
    cnitool: build(go, cwd, environment, `${libcniModule}/cnitool`, 'cnitool'),
    gc: build(go, cwd, environment, './gc', 'libcni-gc'),
  }
}
