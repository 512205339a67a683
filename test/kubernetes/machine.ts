/**
 * A machine inside this one: namespaces of its own for processes, mounts and network, and the root file system of the machine below a layer
 * that takes every write and is thrown away. Paths are therefore those of a real node, and nothing of it can outlive a test: its first process
 * reads from the test's, and takes everything with it when that ends, however it ends.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const startWithinMs = 20_000
/** A command that takes longer hangs; most take a tenth of a second. */
const commandSeconds = 120

const sleeper = new Int32Array(new SharedArrayBuffer(4))

/** Waits until `condition` holds; false when the time is up. */
export function until(condition: () => boolean, withinMs: number, everyMs = 50): boolean {
  const deadline = performance.now() + withinMs
  while (!condition()) {
    if (performance.now() > deadline) return false
    Atomics.wait(sleeper, 0, 0, everyMs)
  }
  return true
}

/**
 * Makes the root of the machine and becomes its first process. /run/netns is a mount that is shared before anybody copies it, as on a node; the
 * pipe on standard input ends with the test.
 */
const init = `
set -e
place=$1 dist=$2
mount -t tmpfs -o mode=755 machine "$place"
mkdir "$place"/{upper,work,root}
mount -t overlay machine -o lowerdir=/,upperdir="$place/upper",workdir="$place/work" "$place/root"
cd "$place/root"
mkdir -p mnt/dist
mount --rbind "$dist" mnt/dist
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 run run
mkdir run/below
pivot_root . run/below
cd /
umount -l /run/below
rmdir /run/below
mount --make-rshared /
mkdir /run/netns
mount --bind /run/netns /run/netns
mount --make-shared /run/netns
ip link set lo up
hostname "$3"
printf '%s\\n' "$4" >/etc/machine-id
touch /run/ready
while read -r _; do :; done
`

export interface Done {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly input?: string
  readonly environment?: Record<string, string>
  readonly seconds?: number
}

const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export class Machine implements Disposable {
  readonly #init: ChildProcess
  readonly #pid: number
  readonly #place = mkdtempSync(join(tmpdir(), 'berth-machine-'))

  /** `dist` is to be seen at /mnt/dist. */
  constructor(name: string, dist: string) {
    const log = openSync(join(this.#place, 'log'), 'w+')
    const namespaces = ['--mount', '--net', '--pid', '--ipc', '--uts', '--propagation', 'private']
    const command = [
      ...namespaces,
      '--fork',
      '--kill-child',
      'bash',
      '-c',
      init,
      'init',
      this.#place,
      dist,
      name,
      randomBytes(16).toString('hex'),
    ]
    this.#init = spawn('unshare', command, { stdio: ['pipe', log, log] })
    closeSync(log)
    const parent = this.#init.pid
    const children = `/proc/${parent}/task/${parent}/children`
    const first = (): number => (existsSync(children) ? Number.parseInt(readFileSync(children, 'utf8'), 10) || 0 : 0)
    const isUp = until(() => first() > 0 && existsSync(`/proc/${first()}/root/run/ready`), startWithinMs)
    this.#pid = first()
    if (isUp) return
    const words = readFileSync(join(this.#place, 'log'), 'utf8')
    this[Symbol.dispose]()
    throw new Error(`the machine does not start: ${words}`)
  }

  /** Where a file of the machine is for us. */
  path(file: string): string {
    return `/proc/${this.#pid}/root${file}`
  }

  read(file: string): string {
    return readFileSync(this.path(file), 'utf8')
  }

  write(file: string, text: string): void {
    mkdirSync(dirname(this.path(file)), { recursive: true })
    writeFileSync(this.path(file), text)
  }

  /** Runs a command on the machine and waits for it. */
  run(command: readonly string[], { input = '', environment = {}, seconds = commandSeconds }: RunOptions = {}): Done {
    const target = ['--target', `${this.#pid}`, '--mount', '--net', '--pid', '--ipc', '--uts']
    // The limit stands inside: what nsenter has started would outlive nsenter.
    const bounded = [...target, 'timeout', '--signal=KILL', `${seconds}`, ...command]
    const env = { PATH: searchPath, HOME: '/root', ...environment }
    const done = spawnSync('nsenter', bounded, { input, env, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
    return { exitCode: done.status, stdout: done.stdout, stderr: done.stderr }
  }

  /** What a command prints; throws what it said when it fails. */
  ask(command: readonly string[], options?: RunOptions): string {
    const { exitCode, stdout, stderr } = this.run(command, options)
    if (exitCode !== 0) throw new Error(`${command.join(' ')} (${exitCode}): ${stderr}${stdout}`)
    return stdout
  }

  shell(script: string, ...args: string[]): string {
    return this.ask(['bash', '-ec', script, 'bash', ...args])
  }

  /** Starts a service that stays, and returns its process ID on the machine. Its output goes to its log. */
  start(name: string, command: readonly string[], environment: Record<string, string> = {}): number {
    const script = 'log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 & echo $!'
    const started = this.ask(['bash', '-c', script, 'bash', `/var/log/${name}.log`, ...command], { environment })
    return Number(started)
  }

  log(name: string): string {
    const file = `/var/log/${name}.log`
    return existsSync(this.path(file)) ? this.read(file) : ''
  }

  isAlive(pid: number): boolean {
    return existsSync(this.path(`/proc/${pid}/exe`)) && this.run(['readlink', `/proc/${pid}/exe`]).exitCode === 0
  }

  /** Ends a service and what it has started; throws when it lives on. */
  stop(pid: number, signal = 'TERM', withinMs = 30_000): void {
    this.run(['kill', `-${signal}`, '--', `-${pid}`])
    if (!until(() => !this.isAlive(pid), withinMs)) throw new Error(`process ${pid} does not end`)
  }

  [Symbol.dispose](): void {
    this.#init.stdin?.end()
    const isGone = (): boolean => !existsSync(`/proc/${this.#pid}`)
    if (!until(isGone, 5000)) this.#init.kill('SIGKILL')
    until(isGone, 5000)
    this.#init.unref()
    rmSync(this.#place, { recursive: true })
  }
}
