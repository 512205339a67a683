/** The manifests: what they ask for, and that their networks are ones that the plugins take. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { readCommandLine as readAgentLine } from '../../agent/options.ts'
import { readCommandLine } from '../../install/options.ts'
import { planOf } from '../../ipam/asked.ts'
import { macvlanConfig } from '../../plugins/macvlan/config.ts'
import { ownName } from '../../shared/aliases.ts'
import { root } from '../house/sources.ts'
import { requestOf } from '../shared/cni/requests.ts'

const folder = join(root, 'install', 'manifests')
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.yaml'))

const documentsIn = (name: string) =>
  parseAllDocuments(readFileSync(join(folder, name), 'utf8')).map((document) => {
    expect([name, ...document.errors, ...document.warnings]).toEqual([name])
    return document.toJS()
  })

const all = files.flatMap((name) => documentsIn(name).map((document) => ({ name, document })))
const ofKind = (kind: string) => all.filter(({ document }) => document.kind === kind)

describe('every kustomization', () => {
  it('names files that are there, and leaves none out', () => {
    const named = ofKind('Kustomization').flatMap(({ name, document }) =>
      [...document.resources, ...(document.components ?? [])].map((one: string) => normalize(join(dirname(name), one))),
    )
    const there = (name: string): boolean => files.includes(name) || files.includes(join(name, 'kustomization.yaml'))
    expect(named.filter((name) => !there(name))).toEqual([])
    const manifests = files.filter((name) => !name.endsWith('kustomization.yaml') && !name.startsWith('examples/'))
    expect(manifests.filter((name) => !named.includes(name))).toEqual([])
  })

  it('names an image by a version', () => {
    const images = ofKind('Kustomization').flatMap(({ document }) => document.images ?? [])
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    expect(images).toEqual([{ name: 'berth', newTag: version }])
  })
})

interface Operation {
  readonly op: 'add' | 'test' | 'remove' | 'replace'
  readonly path: string
  readonly value?: unknown
}

/** Carries out a JSON patch (RFC 6902), as far as the kustomizations have such. */
function patched<T extends object>(document: T, operations: readonly Operation[]): T {
  const copy = structuredClone(document)
  for (const { op, path, value } of operations) {
    const names = path.split('/').slice(1)
    const last = names.pop() ?? ''
    const place = names.reduce<object>((inner, name) => Reflect.get(inner, name), copy)
    if (op === 'test') expect(Reflect.get(place, last)).toEqual(value)
    else if (!Array.isArray(place)) Reflect.set(place, last, value)
    else if (op === 'remove') place.splice(Number(last), 1)
    else place.splice(last === '-' ? place.length : Number(last), op === 'replace' ? 1 : 0, value)
  }
  return copy
}

const patchesOf = (name: string): Operation[] =>
  documentsIn(name)[0]
    .patches.map(({ patch }: { patch: string }) => parse(patch))
    .filter(Array.isArray)
    .flat()

describe('the component that uninstalls', () => {
  it.each(['alone', 'after the overlay for a share'])('uninstalls, and keeps all else as it was, %s', (where) => {
    const base = ofKind('DaemonSet')[0]?.document
    const before = where === 'alone' ? base : patched(base, patchesOf('overlays/shared-data-dir/kustomization.yaml'))
    const { spec } = patched(before, patchesOf('components/uninstall/kustomization.yaml')).spec.template
    const env = { BERTH_ALIASES: 'macvlan,whereabouts' }
    expect(readCommandLine(spec.initContainers[0].args.slice(1), env, '/opt/berth')).toMatchObject({ uninstall: true })
    const wish = readAgentLine(spec.containers[0].args.slice(1), '/var/lib/cni/berth')
    expect([wish?.kubeconfig, wish?.calls, wish?.metricsAddress]).toEqual([
      undefined,
      where === 'alone',
      expect.objectContaining({ host: '127.0.0.1' }),
    ])
    expect(spec.initContainers[0].volumeMounts).toContainEqual({ name: 'data', mountPath: '/var/lib/cni/berth' })
  })
})

describe('the permissions', () => {
  it('are the one question that is asked, without a wildcard', () => {
    const rules = [...ofKind('ClusterRole'), ...ofKind('Role')].flatMap(({ document }) => document.rules)
    expect(rules).toEqual([{ nonResourceURLs: ['/apis/k8s.cni.cncf.io'], verbs: ['get'] }])
  })
})

describe('the DaemonSet', () => {
  const { template, updateStrategy } = ofKind('DaemonSet')[0]?.document.spec ?? {}
  const { spec } = template
  const containers = [...spec.initContainers, ...spec.containers]

  it('is on every node, before others, one part of them after the other', () => {
    expect(spec.tolerations).toEqual([{ operator: 'Exists' }])
    expect(spec.priorityClassName).toBe('system-node-critical')
    expect(updateStrategy.type).toBe('RollingUpdate')
    expect([spec.hostNetwork, spec.hostPID]).toEqual([true, true])
  })

  it('has no more than its containers need', () => {
    for (const { securityContext, resources } of containers) {
      expect(securityContext.privileged).toBeUndefined()
      expect(securityContext.readOnlyRootFilesystem).toBe(true)
      expect(securityContext.capabilities.drop).toEqual(['ALL'])
      expect(Object.keys(resources.requests)).toEqual(['cpu', 'memory'])
      expect(resources.limits.memory).toMatch(/Mi$/)
    }
    const added = containers.map(({ securityContext }) => securityContext.capabilities.add)
    expect(added).toEqual([
      ['DAC_OVERRIDE', 'FOWNER'],
      ['NET_ADMIN', 'NET_RAW', 'SYS_ADMIN', 'SYS_PTRACE'],
    ])
  })

  it('mounts what there is a volume for, and every volume', () => {
    const mounted = containers.flatMap(({ volumeMounts }) => volumeMounts.map(({ name }: { name: string }) => name))
    const volumes = spec.volumes.map(({ name }: { name: string }) => name)
    expect([...new Set(mounted)].sort()).toEqual(volumes.toSorted())
  })

  it('asks for no folder by a name that some node does not have, and for no file', () => {
    const paths = spec.volumes.map(({ hostPath }: { hostPath: { path: string; type: string } }) => {
      expect(hostPath.type).toBe('DirectoryOrCreate')
      return hostPath.path
    })
    // Talos' kubelet has no /run.
    expect(paths.filter((path: string) => path.startsWith('/run'))).toEqual([])
  })

  it('says what installer and agent can read', () => {
    const [install, agent] = containers
    const env = Object.fromEntries(install.env.map(({ name, value }: { name: string; value: string }) => [name, value]))
    expect(readCommandLine(install.args.slice(1), env, '/opt/berth')).toMatchObject({
      binDir: '/host/opt/cni/bin',
      confDir: '/host/etc/cni/net.d',
      aliases: [],
    })
    const wish = readAgentLine(agent.args.slice(1), '/var/lib/cni/berth')
    expect(wish).toMatchObject({ runDir: '/run/berth', calls: true, metricsAddress: { host: '127.0.0.1' } })
    expect(wish?.kubeconfig).toBe('/host/etc/cni/net.d/berth.d/berth.kubeconfig')
  })

  it('asks the agent at the address that it has', () => {
    const agent = containers[1]
    for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
      const { host, port, path } = agent[probe].httpGet
      expect(agent.args).toContain(`--metrics-address=${host}:${port}`)
      expect(path).toBe(probe === 'readinessProbe' ? '/readyz' : '/healthz')
    }
  })
})

describe('the networks of the examples', () => {
  const configs = ofKind('NetworkAttachmentDefinition').map(({ name, document }) => ({
    name,
    config: JSON.parse(document.spec.config),
    network: document.metadata.name,
  }))

  it('are ones that the plugins take', () => {
    for (const { config, network } of configs) {
      expect(config.name).toBe(network)
      const [plugin] = config.plugins ?? [config]
      const request = requestOf({ ...plugin, name: config.name, cniVersion: config.cniVersion })
      expect(ownName(plugin.type)).toBe('berth-macvlan')
      expect(macvlanConfig(request).master).toMatch(/^enp6s0\./)
      expect(planOf(request).rangeSets.length).toBeGreaterThan(0)
    }
  })

  it('ask no runtime to collect garbage where they are lists', () => {
    const lists = configs.filter(({ config }) => config.plugins !== undefined)
    expect(lists.map(({ config }) => config.disableGC)).toEqual([true])
  })
})
