/** The administrator's commands in this process, on a store of the test's own. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { beforeEach } from 'vitest'
import { type Answer, run } from '../../cli/run.ts'
import { FileStore } from '../../ipam/ledger/file-store.ts'
import type { AttachmentRecord } from '../../ipam/ledger/record.ts'
import { readBootId, readHostName } from '../../shared/host/boot.ts'
import { keyOf, recordOf } from '../contract/records.ts'
import { temporaryDirectory } from '../shared/temporary.ts'

export let dataDir: string
export let store: FileStore
export let progress: string[]

beforeEach(() => {
  dataDir = temporaryDirectory()
  store = new FileStore(dataDir)
  progress = []
})

/** Runs a command line; `stdin` is what it would read there. */
export const berth = (line: readonly string[], stdin = ''): Promise<Answer> =>
  run(line, {
    dataDir,
    version: '1.2.3',
    readStdin: () => stdin,
    progress: (text) => progress.push(text),
  })

export const here = () => ({ host: readHostName(), bootId: readBootId() })

/** An attachment of this boot. */
export const ours = (
  containerId: string,
  addresses: readonly string[],
  { network, ...more }: Parameters<typeof recordOf>[2] & { network?: string } = {},
): AttachmentRecord =>
  recordOf(keyOf(containerId, network === undefined ? {} : { network }), addresses, { ...here(), ...more })

export const put = (...records: readonly AttachmentRecord[]): void => {
  store.locked(() => store.put(records))
}

/** The test's own namespace is alive as long as the test. */
export function ownNetns(): NonNullable<AttachmentRecord['netns']> {
  const path = '/proc/self/ns/net'
  const { dev, ino } = statSync(path)
  return { path, dev, ino }
}

/** All files below a directory with their content, to see that nothing has changed. */
export function contentOf(directory: string): Record<string, string> {
  if (!existsSync(directory)) return {}
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return Object.fromEntries(
    entries.map(({ parentPath, name }) => [`${parentPath}/${name}`, readFileSync(`${parentPath}/${name}`, 'utf8')]),
  )
}
