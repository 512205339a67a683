/** Where a node keeps its plugins and their configs. What is given goes before what is found. Pure but for one question to the disk. */
import { confDirs } from '../shared/node-config.ts'
import { statOf } from './files.ts'

interface Places {
  readonly binDir: string
  readonly confDir: string
  /** What they were known by: `given`, or a distribution. */
  readonly known: string
}

/** Folders of the node that a distribution uses; each is known by a folder that no other one makes. */
interface Distribution {
  readonly name: string
  readonly sign: string
  /** The first that is there; the last when none is. */
  readonly bin: readonly string[]
  readonly conf: string
}

const usual = { bin: ['/opt/cni/bin'], conf: confDirs.usual }

const distributions: readonly Distribution[] = [
  {
    name: 'k3s',
    sign: '/var/lib/rancher/k3s/agent',
    // Since October 2024; before that a folder that an upgrade of k3s replaces.
    bin: ['/var/lib/rancher/k3s/data/cni', '/var/lib/rancher/k3s/data/current/bin'],
    conf: confDirs.k3s,
  },
  {
    name: 'MicroK8s',
    sign: '/var/snap/microk8s/current',
    bin: ['/var/snap/microk8s/current/opt/cni/bin'],
    conf: confDirs.microK8s,
  },
  {
    name: 'OpenShift',
    sign: confDirs.openShift,
    bin: ['/var/lib/cni/bin'],
    conf: confDirs.openShift,
  },
]
// RKE2 and Talos use the usual folders. On Talos /etc/cni is empty after each boot, and the next start of the pod writes it again.

/** Throws an Error for a folder in which no call looks for berth.conf. It is seen from here, so only its end is known. */
export function checkDefaultsPlace(confDir: string): void {
  const known = Object.values(confDirs)
  if (known.some((folder) => confDir.endsWith(folder))) return
  throw new Error(`Cannot write defaults into "${confDir}": calls look for them in ${known.join(', ')} alone`)
}

interface Given {
  readonly hostRoot: string
  readonly binDir: string | undefined
  readonly confDir: string | undefined
}

/** `isThere` says whether there is something at a path of ours. */
export function placesOf(
  { hostRoot, binDir, confDir }: Given,
  isThere: (path: string) => boolean = (path) => statOf(path) !== undefined,
): Places {
  if (binDir !== undefined && confDir !== undefined) return { binDir, confDir, known: 'given' }
  const root = hostRoot.replace(/\/+$/, '')
  const { name, bin, conf } = distributions.find(({ sign }) => isThere(root + sign)) ?? { name: 'the usual', ...usual }
  const found = bin.find((folder) => isThere(root + folder)) ?? bin.at(-1)
  return { binDir: binDir ?? `${root}${found}`, confDir: confDir ?? `${root}${conf}`, known: name }
}
