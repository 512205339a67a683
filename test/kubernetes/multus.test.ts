/** Our packaged plugins and manifests under real Multus and a real API server: every case in every column, and the table of them at the end. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { buildPrograms } from './build.ts'
import { macvlan } from './cases/case.ts'
import { devices } from './cases/devices.ts'
import { networks } from './cases/networks.ts'
import { removal } from './cases/removal.ts'
import { requests } from './cases/requests.ts'
import type { Multus } from './multus.ts'
import { manifests, Rig } from './rig.ts'
import { pluginFolder } from './runtime.ts'
import { type Column, columns, nameOf, Table } from './table.ts'
import { Truth } from './truth.ts'

const cases = [...networks, ...requests, ...devices, ...removal]

const programs = buildPrograms()
const missing = 'missing' in programs ? programs.missing : undefined
if (missing !== undefined) process.stderr.write(`SKIPPED: the tests with Kubernetes and Multus: ${missing}\n`)
const skipped = missing === undefined ? '' : ` (SKIPPED: ${missing})`

const fixtures = join(import.meta.dirname, '..', 'fixtures')
const table = new Table()
const before = performance.now()
let rig: Rig

const secondsSince = (ms: number): string => ((performance.now() - ms) / 1000).toFixed(1)

/** Runs a case and enters it into the table. */
function timed(title: string, column: Column, run: () => void): void {
  const since = performance.now()
  table.note(title, column, 'FAILED')
  run()
  table.note(title, column, `${secondsSince(since)} s`)
}

beforeAll(() => {
  if ('missing' in programs) return
  rig = new Rig(programs)
})

afterAll(() => {
  if (missing !== undefined) return
  rig?.[Symbol.dispose]()
  process.stdout.write(`\n${table}\nall of it, without the build: ${secondsSince(before)} s\n`)
})

describe.skipIf(missing !== undefined)(`our manifests${skipped}`, () => {
  const dryRun = (...args: readonly string[]) =>
    rig.cluster.tryKubectl(['apply', '--dry-run=server', '--validate=strict', ...args])

  test.each(['base', ...['k3s', 'openshift', 'shared-data-dir', 'uninstall'].map((name) => `overlays/${name}`)])(
    'kubectl apply -k %s is taken by the server as it is',
    (folder) => {
      expect(dryRun('-k', `${manifests}/${folder}`)).toMatchObject({ exitCode: 0, stderr: '' })
    },
  )

  test('kubectl apply refuses the DaemonSet when a field of it is misspelt', () => {
    const text = rig.machine.read(`${manifests}/base/daemonset.yaml`).replace('hostPID:', 'hostPid:')
    rig.machine.write('/root/misspelt.yaml', text)
    const { exitCode, stderr } = dryRun('-n', 'berth', '-f', '/root/misspelt.yaml')
    expect(exitCode).toBe(1)
    expect(stderr).toContain('unknown field "spec.template.spec.hostPid"')
  })

  test('the service account may look for the API group of NADs and nothing else', () => {
    const may = (...what: readonly string[]): string =>
      rig.cluster.tryKubectl(['auth', 'can-i', ...what, '--as=system:serviceaccount:berth:berth']).stdout.trim()
    expect(may('get', '/apis/k8s.cni.cncf.io')).toBe('yes')
    for (const verb of ['get', 'list', 'create', 'delete', 'patch']) {
      for (const kind of ['pods', 'nodes', 'secrets', 'network-attachment-definitions.k8s.cni.cncf.io']) {
        expect(may(verb, kind, '--all-namespaces'), `${verb} ${kind}`).toBe('no')
      }
    }
  })
})

describe.skipIf(missing !== undefined).each(columns)(`Multus, %o${skipped}`, (column) => {
  let multus: Multus
  let agent: Disposable

  beforeAll(() => {
    multus = rig.multus(column.multus)
    agent = rig.open(column.door)
  })

  afterAll(() => {
    const answered = rig.answeredByAgent()
    table.note('calls that the agent answered', column, `${answered}`)
    agent?.[Symbol.dispose]()
    multus?.[Symbol.dispose]()
    expect(answered > 0).toBe(column.door === 'agent')
  })

  afterEach(() => {
    const left = rig.leftovers()
    if (left.length > 0) rig.clear()
    expect(left).toEqual([])
  })

  // Not test.each, which cuts titles short.
  for (const { title, run } of cases) {
    test(`${title} (${nameOf(column)})`, () => {
      try {
        timed(title, column, () => run(rig, column))
      } catch (error) {
        process.stderr.write(`${multus.log()}\n`)
        throw error
      }
    })
  }
})

/** The life of an installation: Berth as the cluster's own network, under the names of others, and its end. */
describe.skipIf(missing !== undefined).each(['thin', 'thick'] as const)(`Multus, %s${skipped}`, (multus) => {
  const column = { multus, door: 'one-shot' } as const
  const oneShot = (title: string, run: () => void): void => test(title, () => timed(title, column, run))

  afterEach(() => {
    expect(rig.leftovers()).toEqual([])
  })

  oneShot("berth-macvlan as the primary network, from a list of which thick Multus' DEL passes the types alone", () => {
    const plugins = [macvlan('10.70.0.0/24', { cniVersion: '1.0.0' })]
    using _ = rig.multus(multus, { cniVersion: '1.0.0', name: 'own', plugins })
    const pod = rig.attach('')
    expect(rig.leases()).toEqual([expect.stringMatching(/^own 10\.70\.0\.\d+\/24 apps\/pod-/)])
    expect(new Truth(rig.machine, pod).links().map(({ ifname }) => ifname)).toEqual(['eth0'])
    rig.detach(pod)
  })

  oneShot('NADs of macvlan and whereabouts as they are, installed under these names', () => {
    using _ = rig.multus(multus)
    rig.cluster.kubectl([
      'set',
      'env',
      'daemonset/berth',
      '-n',
      'berth',
      '-c',
      'install',
      'BERTH_ALIASES=macvlan,whereabouts',
    ])
    rig.install()
    for (const name of ['internalapi', 'storage']) {
      rig.cluster.apply(readFileSync(join(fixtures, `nad-${name}.yaml`), 'utf8'))
    }
    const pod = rig.attach('openstack/internalapi,openstack/storage')
    const truth = new Truth(rig.machine, pod)
    expect(truth.addresses('net1')).toEqual([expect.stringMatching(/^172\.17\.0\.(3|4)\d\/24$/)])
    expect(truth.addresses('net2')).toEqual([expect.stringMatching(/^172\.18\.0\.(3|4)\d\/24$/)])
    expect(rig.leases()).toHaveLength(2)
    rig.detach(pod)
  })

  oneShot('installed, taken off again by overlays/uninstall, and installed again', () => {
    const plugins = (): string[] => readdirSync(rig.machine.path(pluginFolder))
    const apply = (folder: string): void => {
      rig.cluster.kubectl(['apply', '--validate=strict', '-k', `${manifests}/${folder}`])
      rig.install()
    }
    apply('overlays/uninstall')
    expect(plugins().filter((name) => name.includes('berth') || name === 'whereabouts')).toEqual([])
    expect(plugins()).toContain('bridge')
    apply('base')
    expect(plugins()).toEqual(expect.arrayContaining(['berth', 'berth-ipam', 'berth-macvlan']))
  })
})
