/** What a runtime does to the IPAM, each from a data directory that is prepared for it. */
import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { run } from '../../cli/run.ts'
import { openStore } from '../../ipam/index.ts'
import { renderRecord } from '../../ipam/ledger/record.ts'
import { allPlugins } from '../../plugins/all.ts'
import { dispatch } from '../../plugins/dispatch.ts'
import { oneShotDeps } from '../../plugins/one-shot.ts'
import type { Answer } from '../e2e/host.ts'
import type { Run } from './strace.ts'

/** A path that leads to no namespace, as when a pod is gone. */
export const goneNetns = '/run/netns/berth-crash-gone'

export interface Call {
  /** An import is an administrator's. */
  readonly verb: 'ADD' | 'DEL' | 'GC' | 'import'
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

/** What host-local would have left; within the data directory, for the copies to have it too. */
const folderOf = (dataDir: string): string => `${dataDir}/host-local`
const importLine = (dataDir: string): string[] => [
  ...['import', 'host-local', folderOf(dataDir), '--network', 'net-a', '--space', 'default'],
  ...['--range', '10.0.0.0/29', '--range', 'fd00::/125'],
]

export const runOf = (call: Call, dataDir: string, trace: string): Run => ({
  ...(call.verb === 'import' ? { program: 'berth', args: importLine(dataDir) } : { program: 'berth-ipam', args: [] }),
  environment: environmentOf(call, dataDir),
  stdin: stdinOf(call),
  dataDir,
  trace,
})

/** The same call in this process, where nothing fails. */
export async function call(dataDir: string, one: Call): Promise<Pick<Answer, 'exitCode' | 'stdout'>> {
  if (one.verb === 'import') {
    return await run(importLine(dataDir), { dataDir, version: '', readStdin: () => '', progress: () => undefined })
  }
  const environment = environmentOf(one, dataDir)
  const wish = { name: 'berth-ipam', environment, readStdin: () => stdinOf(one) }
  return await dispatch(wish, oneShotDeps(environment), allPlugins)
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
/** It has the first when the import that adds the second begins. */
export const [imported, importedMore] = ['10.0.0.4', 'fd00::4']

async function prepareImported(dataDir: string, netns: string): Promise<void> {
  await prepareBystander(dataDir, netns)
  mkdirSync(folderOf(dataDir))
  writeFileSync(`${folderOf(dataDir)}/${imported}`, 'c1\nnet1')
  await call(dataDir, { verb: 'import', ...c1 })
  writeFileSync(`${folderOf(dataDir)}/${importedMore}`, 'c1\nnet1')
}

/** What an import leaves that was killed when it had passed the first address over to the next record. */
async function prepareHalfImported(dataDir: string, netns: string): Promise<void> {
  await prepareImported(dataDir, netns)
  const leases = `${dataDir}/leases`
  const before = openStore(dataDir).find({ network: 'net-a', ...c1, ifName: 'net1' })
  if (before === undefined) throw new Error('nothing was imported')
  const more = { address: `${importedMore}/125`, range: 'fd00::/125' }
  const next = `${leases}/.new,${attachmentOf('c1')}`
  writeFileSync(next, renderRecord({ ...before, leases: [...before.leases, more] }))
  linkSync(next, `${leases}/${importedMore}`)
  linkSync(next, `${leases}/.passing`)
  renameSync(`${leases}/.passing`, `${leases}/${imported}`)
}

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
  { name: 'import of more', call: { verb: 'import', ...c1 }, prepare: prepareImported },
  { name: 'import again after a kill', call: { verb: 'import', ...c1 }, prepare: prepareHalfImported },
  { name: 'DEL after a killed import', call: { verb: 'DEL', ...c1 }, prepare: prepareHalfImported },
  {
    name: 'GC',
    call: { verb: 'GC', containerId: '' },
    async prepare(dataDir, netns) {
      await prepareAttached(dataDir, netns)
      await add(dataDir, { containerId: 'c2' })
    },
  },
]
