/** Namespaces and links for the tests of shared/host that need the real kernel, and a stranger on the wire. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, onTestFinished } from 'vitest'
import { type Netns, openNetns } from '../../../shared/host/netns.ts'

const isRoot = process.getuid?.() === 0
if (!isRoot) process.stderr.write('NOT ROOT: the tests that need network namespaces are skipped\n')

/** A describe whose tests make namespaces; without root they are skipped, and it says so. */
export const describeInNamespaces = describe.skipIf(!isRoot)

const commandTimeoutMs = 10_000

export const ip = (...args: string[]): string =>
  execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: commandTimeoutMs })

let made = 0

/** A new namespace under /run/netns, removed with all that is in it when the test has ended. */
export function newNamespace(): string {
  const name = `berth-unit-${process.pid}-${++made}`
  ip('netns', 'add', name)
  onTestFinished(() => void spawnSync('ip', ['netns', 'del', name], { timeout: commandTimeoutMs }))
  return name
}

export function opened(name: string): Netns {
  const netns = openNetns(`/run/netns/${name}`, false)
  onTestFinished(() => netns[Symbol.dispose]())
  return netns
}

export interface TestLink {
  readonly name: string
  readonly index: number
  readonly mac: string
}

function linkIn(namespace: string, name: string): TestLink {
  const [found]: { ifindex: number; address: string }[] = JSON.parse(ip('-json', '-n', namespace, 'link', 'show', name))
  if (found === undefined) throw new Error(`no link ${name}`)
  return { name, index: found.ifindex, mac: found.address }
}

/** Sets a link up without an address of its own: nothing is on the wire but what a test sends. */
export function up(namespace: string, name: string): TestLink {
  ip('-n', namespace, 'link', 'set', name, 'addrgenmode', 'none')
  ip('-n', namespace, 'link', 'set', name, 'up')
  return linkIn(namespace, name)
}

/** Two namespaces with a cable between them. */
export function cable(): { here: string; there: string; near: TestLink; far: TestLink } {
  const [here, there] = [newNamespace(), newNamespace()]
  ip('-n', here, 'link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far', 'netns', there)
  up(here, 'near')
  const far = up(there, 'far')
  return { here, there, near: linkIn(here, 'near'), far }
}

/** An address that is in use at once. */
export function addAddress(namespace: string, name: string, address: string): void {
  ip('-n', namespace, 'addr', 'add', address, 'dev', name, ...(address.includes(':') ? ['nodad'] : []))
}

export interface Heard {
  readonly frame: string
  readonly atMs: number
}

/** What `stranger.ts` is told: frames in hexadecimal that it sends once, or without end, when it has heard the first one. */
export interface Part {
  readonly answers?: readonly string[]
  readonly flood?: boolean
  readonly listenMs?: number
}

/** Starts a stranger on a link; `heard` waits until it has finished, and is what arrived there. */
export async function stranger(
  namespace: string,
  link: TestLink,
  part: Part,
): Promise<{ heard: () => Promise<Heard[]> }> {
  const program = [process.execPath, '--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'stranger.ts')]
  const child = spawn('ip', ['netns', 'exec', namespace, ...program, String(link.index), JSON.stringify(part)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: commandTimeoutMs,
    killSignal: 'SIGKILL',
  })
  const ended = once(child, 'close')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  await Promise.race([once(child.stdout, 'data'), ended])
  if (!output.startsWith('ready\n')) throw new Error(`the stranger did not start: ${output}`)
  const heard = async (): Promise<Heard[]> => {
    await ended
    return JSON.parse(output.slice('ready\n'.length))
  }
  return { heard }
}
