/**
 * The launcher, compiled with shorter times, a program beside it that tells how it was started, and agents that follow the
 * protocol or do not.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compileLauncher } from '../../packaging/launcher.ts'

export const helloMs = 400
export const replyMs = 1200

export const work = mkdtempSync(join(tmpdir(), 'berth-launcher-'))
export const paths = {
  launcher: join(work, 'berth-macvlan'),
  /** The launcher with the limits of the protocol. */
  released: join(work, 'berth-ipam'),
  starter: join(work, 'starter'),
  runDir: join(work, 'run'),
  dataDir: join(work, 'data'),
}

export function compileC(name: string, output: string): void {
  const source = join(import.meta.dirname, name)
  execFileSync('gcc', ['-O1', '-Wall', '-Wextra', '-Werror', '-static', '-o', output, source], { stdio: 'inherit' })
}

/** Everything that a test file needs, in a folder of its own; the caller removes `work`. */
export function prepare(): void {
  const texts = { RUN_DIR: JSON.stringify(paths.runDir), DATA_DIR: JSON.stringify(paths.dataDir) }
  compileLauncher(paths.launcher, process.arch === 'arm64' ? 'arm64' : 'x64', {
    HELLO_MS: helloMs,
    REPLY_MS: replyMs,
    ...texts,
  })
  compileLauncher(paths.released, process.arch === 'arm64' ? 'arm64' : 'x64')
  compileC('program.c', join(work, 'berth'))
  compileC('starter.c', paths.starter)
  for (const folder of [paths.runDir, paths.dataDir]) mkdirSync(folder)
}

let folders = 0

/** A data directory without an agent. */
export function freshFolder(): string {
  const folder = join(work, `f${++folders}`)
  mkdirSync(folder)
  return folder
}

export interface Ended {
  readonly exitCode: number | null
  readonly signal: string | null
  readonly stdout: Buffer
  readonly ms: number
}

export interface Start {
  /** Default: the launcher. */
  readonly command?: readonly string[]
  readonly argv0?: string
  readonly environment?: Readonly<Record<string, string>>
  /** Given at once; a function writes as it likes. */
  readonly input?: string | Buffer | ((stdin: NodeJS.WritableStream) => void)
}

/** What a runtime sets; BERTH_DATA_DIR comes from the test. */
export const call = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'c0ffee', CNI_NETNS: '/run/netns/pod', CNI_IFNAME: 'net1' }
const tooLongMs = 15_000

export async function launch(start: Start): Promise<Ended> {
  const [program = '', ...args] = start.command ?? [paths.launcher]
  const began = performance.now()
  const child = spawn(program, args, {
    env: { ...start.environment },
    ...(start.argv0 === undefined ? {} : { argv0: start.argv0 }),
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: tooLongMs,
    killSignal: 'SIGKILL',
  })
  // The launcher need not read what it is given.
  child.stdin.on('error', () => undefined)
  if (typeof start.input === 'function') start.input(child.stdin)
  else child.stdin.end(start.input ?? '')
  const pieces: Buffer[] = []
  child.stdout.on('data', (piece) => pieces.push(piece))
  const [exitCode, signal] = await once(child, 'close')
  return { exitCode, signal, stdout: Buffer.concat(pieces), ms: performance.now() - began }
}

export interface Report {
  readonly argc: number
  readonly argv0: string
  readonly environment: readonly string[]
  readonly input: Buffer
}

/** What the stand-in of the packaged program said; throws when it was not that which answered. */
export function programSaid({ exitCode, stdout }: Ended): Report {
  if (exitCode !== 42) throw new Error(`not the program: exit code ${exitCode}, ${stdout.subarray(0, 400)}`)
  const [argc, variables] = stdout.toString('latin1').split('\0', 2).map(Number)
  let from = stdout.indexOf('\0', stdout.indexOf('\0') + 1) + 1
  const [argv0 = '', ...environment] = Array.from({ length: 1 + (variables ?? 0) }, () => {
    const end = stdout.indexOf('\0', from)
    const text = stdout.toString('utf8', from, end)
    from = end + 1
    return text
  })
  return { argc: argc ?? 0, argv0, environment, input: stdout.subarray(from) }
}

export const hello = Buffer.from('berth\0\x01\0', 'latin1')

export interface ReplyParts {
  readonly output?: string | Buffer
  readonly size?: number
  readonly declined?: number
  readonly exitCode?: number
  readonly zero?: number
}

export function reply({ output = '', size, declined = 0, exitCode = 0, zero = 0 }: ReplyParts = {}): Buffer {
  const head = Buffer.alloc(8)
  const body = Buffer.from(output)
  head.writeUInt32LE(size ?? body.length, 0)
  head.writeUInt8(declined, 4)
  head.writeUInt8(exitCode, 5)
  head.writeUInt16LE(zero, 6)
  return Buffer.concat([head, body])
}

export interface AskedFor {
  readonly name: string
  readonly variables: readonly string[]
  readonly input: Buffer
}

/** A request as the protocol has it; undefined while it is not complete; throws when it is something else. */
export function parseRequest(bytes: Buffer): AskedFor | undefined {
  if (bytes.length < 8 || bytes.length < 8 + bytes.readUInt32LE(0)) return undefined
  if (bytes.length > 8 + bytes.readUInt32LE(0)) throw new Error('more than a request')
  const head = bytes.subarray(8, 8 + bytes.readUInt32LE(4))
  if (head.at(-1) !== 0) throw new Error('a head without its last zero')
  const [name = '', ...variables] = head.subarray(0, -1).toString().split('\0')
  return { name, variables, input: bytes.subarray(8 + head.length) }
}

export class Agent implements AsyncDisposable {
  readonly requests: AskedFor[] = []
  /** All bytes of each connection; complete requests of it are in `requests`. */
  readonly heard: Buffer[] = []
  readonly #server: Server
  readonly #calls = new Set<Socket>()

  /** `accept` does what there is to do before the request, `answer` after it; an agent without `answer` never reads. */
  constructor(path: string, accept: (call: Socket) => void, answer?: (call: Socket, request: AskedFor) => void) {
    this.#server = createServer({ pauseOnConnect: answer === undefined, allowHalfOpen: true }, (socket) => {
      this.#calls.add(socket)
      socket.on('error', () => undefined)
      const at = this.heard.push(Buffer.alloc(0)) - 1
      if (answer !== undefined)
        socket.on('data', (piece: Buffer) => {
          const all = Buffer.concat([this.heard[at] ?? Buffer.alloc(0), piece])
          this.heard[at] = all
          const request = parseRequest(all)
          if (request === undefined) return
          this.requests.push(request)
          answer(socket, request)
        })
      accept(socket)
    })
    this.#server.listen(path)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#calls) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

/** One that follows the protocol. */
export const goodAgent = (folder: string, answer: Buffer = reply({ output: '{"ok":true}\n' })): Agent =>
  new Agent(
    join(folder, 'agent.sock'),
    (socket) => socket.write(hello),
    (socket) => socket.end(answer),
  )

/** The error that a launcher gives; throws when that is not what it printed. */
export function errorOf({ exitCode, stdout }: Ended): { cniVersion: string; code: number; msg: string } {
  if (exitCode !== 1) throw new Error(`no error: exit code ${exitCode}, ${stdout.subarray(0, 400)}`)
  return JSON.parse(stdout.toString())
}
