/** What a runtime does to the IPAM, each from a data directory that is prepared for it. */
import { linkSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { openStore } from '../../ipam/index.ts'
import { dispatch } from '../../plugins/dispatch.ts'
import type { Answer } from '../e2e/host.ts'
import type { Run } from './strace.ts'

/** A path that leads to no namespace, as when a pod is gone. */
export const goneNetns = '/run/netns/berth-crash-gone'

export interface Call {
  readonly verb: 'ADD' | 'DEL' | 'GC'
  readonly containerId: string
  readonly netns?: string
  readonly sticky?: boolean
}

/** Six addresses of each family. */
export const addressesOfRange = 6
export const attachmentOf = (containerId: string): string => `net-a,${containerId},net1`
export const keptName = '~net-a,shop,web-0,net1'
/** It lives, and whatever happens to the others it keeps what it has. */
export const bystander = 'by'

/** Short of a cool-down: what was freed just now may be given again. */
const ranges = { range: '10.0.0.0/29', ipRanges: [{ range: 'fd00::/125' }], cooldownSeconds: 0 }

function environmentOf({ verb, containerId, netns = goneNetns, sticky = false }: Call, dataDir: string) {
  const pod = sticky ? { CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0' } : {}
  const attachment = { CNI_CONTAINERID: containerId, CNI_NETNS: netns, CNI_IFNAME: 'net1', ...pod }
  return { BERTH_DATA_DIR: dataDir, CNI_COMMAND: verb, CNI_PATH: '/nowhere', ...(verb === 'GC' ? {} : attachment) }
}

function stdinOf({ verb, sticky = false }: Call): string {
  const valid = verb === 'GC' ? { 'cni.dev/valid-attachments': [{ containerID: 'somebody-else', ifname: 'net1' }] } : {}
  const ipam = { type: 'berth-ipam', ...ranges, sticky }
  return JSON.stringify({ cniVersion: '1.1.0', name: 'net-a', type: 'bridge', ipam, ...valid })
}

export const runOf = (call: Call, dataDir: string, trace: string): Run => ({
  environment: environmentOf(call, dataDir),
  stdin: stdinOf(call),
  dataDir,
  trace,
})

/** The same call in this process, where nothing fails. */
export async function call(dataDir: string, one: Call): Promise<Pick<Answer, 'exitCode' | 'stdout'>> {
  const environment = environmentOf(one, dataDir)
  const wish = { name: 'berth-ipam', environment, readStdin: () => stdinOf(one) }
  return await dispatch(wish, { store: openStore(dataDir), environment })
}

/** The addresses of an answered ADD, without their prefixes. */
export function addressesOf(stdout: string): string[] {
  const { ips }: { ips: { address: string }[] } = JSON.parse(stdout)
  return ips.map(({ address }) => address.split('/')[0] ?? '')
}

export async function add(dataDir: string, one: Omit<Call, 'verb'>): Promise<string[]> {
  const { exitCode, stdout } = await call(dataDir, { verb: 'ADD', ...one })
  if (exitCode !== 0) throw new Error(`ADD of ${one.containerId} failed: ${stdout}`)
  return addressesOf(stdout)
}

export interface Scenario {
  readonly name: string
  readonly call: Call
  /** Makes the data directory ready; `netns` is the bystander's. */
  prepare(dataDir: string, netns: string): Promise<void>
}

/** What an ADD that was killed between its links leaves. */
function cutShort(dataDir: string, containerId: string): void {
  const [leases, name] = [`${dataDir}/leases`, attachmentOf(containerId)]
  linkSync(`${leases}/${name}`, `${leases}/.new,${name}`)
  for (const one of readdirSync(leases)) {
    const isV6OfIt = one.startsWith('fd00::') && readFileSync(`${leases}/${one}`, 'utf8').includes(`"${containerId}"`)
    if (isV6OfIt) unlinkSync(`${leases}/${one}`)
  }
}

async function prepareBystander(dataDir: string, netns: string): Promise<void> {
  await add(dataDir, { containerId: bystander, netns })
}

async function prepareAttached(dataDir: string, netns: string, sticky = false): Promise<void> {
  await prepareBystander(dataDir, netns)
  await add(dataDir, { containerId: 'c1', sticky })
}

const c1 = { containerId: 'c1' }

export const scenarios: readonly Scenario[] = [
  { name: 'ADD, the first of all', call: { verb: 'ADD', ...c1 }, async prepare() {} },
  { name: 'ADD of two families', call: { verb: 'ADD', ...c1 }, prepare: prepareBystander },
  {
    name: 'ADD again after a kill',
    call: { verb: 'ADD', ...c1 },
    async prepare(dataDir, netns) {
      await prepareAttached(dataDir, netns)
      cutShort(dataDir, 'c1')
    },
  },
  { name: 'DEL', call: { verb: 'DEL', ...c1 }, prepare: prepareAttached },
  {
    name: 'DEL after a kill',
    call: { verb: 'DEL', ...c1 },
    async prepare(dataDir, netns) {
      await prepareAttached(dataDir, netns)
      cutShort(dataDir, 'c1')
    },
  },
  {
    name: 'DEL of a damaged record',
    call: { verb: 'DEL', ...c1 },
    async prepare(dataDir, netns) {
      await prepareAttached(dataDir, netns)
      writeFileSync(`${dataDir}/leases/${attachmentOf('c1')}`, 'damaged\n')
    },
  },
  {
    name: 'DEL, sticky',
    call: { verb: 'DEL', ...c1, sticky: true },
    prepare: (dataDir, netns) => prepareAttached(dataDir, netns, true),
  },
  {
    name: 'ADD, sticky, takes over',
    call: { verb: 'ADD', containerId: 'c2', sticky: true },
    async prepare(dataDir, netns) {
      await prepareAttached(dataDir, netns, true)
      await call(dataDir, { verb: 'DEL', ...c1, sticky: true })
    },
  },
  {
    name: 'GC',
    call: { verb: 'GC', containerId: '' },
    async prepare(dataDir, netns) {
      await prepareAttached(dataDir, netns)
      await add(dataDir, { containerId: 'c2' })
    },
  },
]
