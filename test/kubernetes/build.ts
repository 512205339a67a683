/**
 * The real parts: etcd, kube-apiserver, kubectl and Multus, built from Go modules as programs/go.mod names them, into dist/kubernetes. Go's own
 * cache is used, so a fresh clone on the same machine need not compile again. KUBEBUILDER_ASSETS, when it is set, is where etcd,
 * kube-apiserver and kubectl are taken from instead.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export const dist = join(import.meta.dirname, '..', '..', 'dist')
const output = join(dist, 'kubernetes')
const modules = join(import.meta.dirname, 'programs')
const driver = join(import.meta.dirname, '..', 'e2e', 'libcni', 'driver', 'main.go')

/** Some hundred megabytes; a registry that cannot be reached must not hold up everything else for longer. */
const downloadTimeoutMs = 10 * 60_000
/** From nothing it takes four minutes of one core and a half, and who shares the machine comes first. */
const compileTimeoutMs = 40 * 60_000
const compilersAtOnce = 2

const multus = 'gopkg.in/k8snetworkplumbingwg/multus-cni.v4'
const controlPlane = [
  'go.etcd.io/etcd/server/v3',
  'k8s.io/kubernetes/cmd/kube-apiserver',
  'k8s.io/kubernetes/cmd/kubectl',
]
const multusPrograms = ['install_multus', 'multus', 'multus-daemon', 'multus-shim', 'passthru-cni', 'thin_entrypoint']

export interface Programs {
  /** Where they are below /mnt/dist of a machine, or, with KUBEBUILDER_ASSETS, anywhere. */
  readonly etcd: string
  readonly apiServer: string
  readonly kubectl: string
  /** The folder of our own build: Multus, the runtime's driver and the socket of kubelet. */
  readonly folder: string
  /** Manifests that Multus' module brings. */
  readonly multusManifests: string
}

const goMod = readFileSync(join(modules, 'go.mod'), 'utf8')
const match = (pattern: RegExp): string => pattern.exec(goMod)?.[1] ?? ''
/** The version of Go 1 that the modules need at least. */
const goMinor = Number(match(/^go 1\.(\d+)/m))

const environment: NodeJS.ProcessEnv = {
  ...process.env,
  CGO_ENABLED: '0',
  GO111MODULE: 'on',
  GOFLAGS: '-mod=readonly -buildvcs=false',
  GOROOT: '',
  GOTOOLCHAIN: 'local',
  GOWORK: 'off',
}

/** A Go that is new enough: the one in PATH, or where its own installer and Debian put it. */
function findGo(): string | undefined {
  return ['go', '/usr/local/go/bin/go', '/usr/lib/go/bin/go'].find((go) => {
    const { stdout } = spawnSync(go, ['env', 'GOVERSION'], { env: environment, encoding: 'utf8' })
    const minor = /^go1\.(\d+)/.exec(stdout ?? '')?.[1]
    return minor !== undefined && Number(minor) >= goMinor
  })
}

const seconds = (sinceMs: number): string => `${((performance.now() - sinceMs) / 1000).toFixed(0)} s`

function compile(go: string, to: string, packages: readonly string[]): void {
  const release = match(/k8s\.io\/kubernetes (v\S+)/)
  const version = `-X k8s.io/component-base/version.gitVersion=${release}`
  const size = ['-trimpath', '-tags=grpcnotrace', `-ldflags=-s -w ${version}`]
  const args = ['-n', '19', go, 'build', '-p', `${compilersAtOnce}`, ...size, '-o', to, ...packages]
  execFileSync('nice', args, { cwd: modules, env: environment, stdio: 'inherit', timeout: compileTimeoutMs })
}

/** Modules into Go's cache. Says why when they cannot be had; a module that is not the one of go.sum throws. */
function download(go: string): string | undefined {
  const options = { cwd: modules, env: environment, encoding: 'utf8', timeout: downloadTimeoutMs } as const
  const { status, stderr } = spawnSync(go, ['mod', 'download'], options)
  if (stderr.includes('SECURITY ERROR')) throw new Error(stderr)
  if (status === 0) return undefined
  return stderr.trim().split('\n').at(-1) || `no answer within ${downloadTimeoutMs / 1000} s`
}

/** Builds what is not there yet, or says why it cannot: only what the machine lacks is a reason, the rest throws. */
export function buildPrograms(): Programs | { readonly missing: string } {
  const go = findGo()
  if (go === undefined) return { missing: `no Go 1.${goMinor} or newer` }
  const before = performance.now()
  const unreachable = download(go)
  if (unreachable !== undefined) return { missing: `no Go modules: ${unreachable}` }
  const downloaded = performance.now()
  mkdirSync(output, { recursive: true })
  const assets = process.env.KUBEBUILDER_ASSETS
  const ours = ['./podresources', ...multusPrograms.map((name) => `${multus}/cmd/${name}`)]
  compile(go, `${output}/`, assets === undefined ? [...ours, ...controlPlane] : ours)
  compile(go, join(output, 'libcni-driver'), [driver])
  const took = `modules ${((downloaded - before) / 1000).toFixed(0)} s, build ${seconds(downloaded)}`
  process.stderr.write(`etcd, kube-apiserver, kubectl and Multus are built: ${took}\n`)
  const folder = '/mnt/dist/kubernetes'
  const of = (name: string, built = name): string => (assets === undefined ? `${folder}/${built}` : join(assets, name))
  const module = execFileSync(go, ['list', '-m', '-f', '{{.Dir}}', multus], {
    cwd: modules,
    env: environment,
    encoding: 'utf8',
  })
  const multusManifests = join(module.trim(), 'deployments')
  if (!existsSync(multusManifests)) throw new Error(`no manifests of Multus in "${multusManifests}"`)
  return {
    // Go names a program by the folder of its source.
    etcd: of('etcd', 'server'),
    apiServer: of('kube-apiserver'),
    kubectl: of('kubectl'),
    folder,
    multusManifests,
  }
}

// Before the tests: who runs them would take minutes of silence for a hang.
if (import.meta.main) {
  const programs = buildPrograms()
  if ('missing' in programs)
    process.stderr.write(`SKIPPED: the build for the tests with Kubernetes: ${programs.missing}\n`)
}
