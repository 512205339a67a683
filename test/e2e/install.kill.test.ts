/** An installer that is killed again and again while the runtime calls: nobody may notice. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { randomFrom, seed } from '../crash/random.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { Host } from './host.ts'
import { Image } from './image.ts'

const rounds = 40
/** Of the time that one takes: most kills fall into a copy, some into what follows, and a few come too late. */
const killWithin = 1.2
const limitMs = 400_000

/** What a finished call said when it failed. */
async function failureOf(child: ChildProcess): Promise<string | undefined> {
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  const [code, signal] = await once(child, 'close')
  return code === 0 ? undefined : `${code ?? signal}: ${said}`
}

/** Calls one after the other until it is stopped. */
class Caller {
  readonly failures: string[] = []
  count = 0
  #stopped = false
  readonly #running: Promise<void>

  constructor(starts: readonly (() => ChildProcess)[]) {
    this.#running = this.#run(starts)
  }

  async #run(starts: readonly (() => ChildProcess)[]): Promise<void> {
    while (!this.#stopped) {
      for (const start of starts) {
        const failure = await failureOf(start())
        this.count++
        if (failure !== undefined) this.failures.push(failure)
      }
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }
}

class Target {
  readonly folder = temporaryDirectory()
  readonly binDir = join(this.folder, 'bin')
  readonly own = join(this.binDir, '.berth')

  args(from: string): string[] {
    return ['install', '--from', from, '--cni-bin-dir', this.binDir, '--cni-conf-dir', join(this.folder, 'conf')]
  }

  current(): string {
    return readlinkSync(join(this.own, 'current'))
  }

  /** So that the next installer of it has to copy again; nobody uses it any more. */
  dropOthers(): void {
    const isOther = (name: string): boolean => /^[0-9.]+-[0-9a-f]{12}$/.test(name) && name !== this.current()
    for (const id of readdirSync(this.own).filter(isOther)) rmSync(join(this.own, id), { recursive: true })
  }
}

test(
  'no call fails while an installer goes from one version to the other and back, and is killed at any moment',
  async () => {
    using image = new Image()
    using host = new Host()
    const target = new Target()
    // The other version: one more library, and nobody's checksums.
    const other = join(target.folder, 'other')
    cpSync(image.home, other, { recursive: true })
    rmSync(join(other, 'SHA256SUMS'))
    writeFileSync(join(other, 'lib', 'libother.so.1'), 'of the other version')
    const program = join(image.home, 'berth')
    expect(spawnSync(program, target.args(image.home)).status).toBe(0)

    const berthIpam = join(target.binDir, 'berth-ipam')
    const version = new Caller([
      () => spawn(berthIpam, { env: { CNI_COMMAND: 'VERSION' }, stdio: ['ignore', 'pipe', 'pipe'] }),
    ])
    const plugin = join(target.binDir, 'berth-macvlan')
    const attaching = [host.pod(), host.pod()].map((pod) => {
      const call = (verb: string) => (): ChildProcess => host.start(verb, pod, host.config(), { plugin })
      return new Caller([call('ADD'), call('DEL')])
    })

    const startMs = performance.now()
    await once(spawn(program, target.args(other), { stdio: 'ignore' }), 'exit')
    const takesMs = performance.now() - startMs
    await pause(1000)
    target.dropOthers()

    const ends = { killed: 0, finished: 0 }
    const seen = new Set<string>()
    const chance = randomFrom(seed)
    for (let round = 0; round < rounds; round++) {
      const args = target.args(round % 2 === 0 ? image.home : other)
      const installer = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] })
      const ended = once(installer, 'exit')
      await Promise.race([ended, pause(chance() * takesMs * killWithin)])
      installer.kill('SIGKILL')
      const [code] = await ended
      ends[code === 0 ? 'finished' : 'killed']++
      seen.add(target.current())
      if (round % 5 === 4) {
        // A call that began with the version before is over in this time.
        await pause(1000)
        target.dropOthers()
      }
    }
    const callers = [version, ...attaching]
    await Promise.all(callers.map((caller) => caller.stop()))
    const failures = callers.flatMap((caller) => caller.failures)
    const [versions = 0, ...attachments] = callers.map(({ count }) => count)
    const adds = attachments.reduce((sum, count) => sum + count, 0)
    process.stdout.write(
      `seed ${seed}: ${ends.killed} installers killed, ${ends.finished} finished; calls meanwhile: ${versions} VERSION, ${adds} ADD and DEL; failed: ${failures.length}\n`,
    )
    expect(failures).toEqual([])
    expect([versions > rounds, adds > rounds, ends.killed > rounds / 4, seen.size]).toEqual([true, true, true, 2])
    expect(spawnSync(program, target.args(image.home)).status).toBe(0)
    expect(readdirSync(target.own).filter((name) => name.startsWith('.new,'))).toEqual([])
  },
  limitMs,
)
