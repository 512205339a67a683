/**
 * The lab: a small VM with what this machine's kernel lacks (a NIC with virtual functions, vfio, 8021q, ipvlan, dummy), which sees the
 * machine's files as they are and keeps every write to itself. One run is one VM: it boots, runs one command, powers off.
 *
 * Nothing of a run outlives it: QEMU is killed at the time limit and with this process, and the VM has neither ports nor a network.
 */
import { execFileSync, spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const root = join(import.meta.dirname, '..', '..')
const directory = join(root, 'dist', 'lab')

export interface LabWish {
  /** The program and its arguments, found as on the machine. */
  readonly command: readonly string[]
  /** Of the whole VM, from its start to its end. */
  readonly timeoutSeconds: number
  /** In which the command runs; the working tree's root unless said. */
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** The command has this process's terminal, and its output is not kept. */
  readonly isInteractive?: boolean
  /** Told what the command writes, as it comes. */
  readonly onOutput?: (text: string) => void
}

export interface LabAnswer {
  /** The command's. */
  readonly exitCode: number
  /** Standard output and standard error, in the order of their writing. */
  readonly output: string
  /** Of the whole VM. */
  readonly seconds: number
  /** The kernel's messages. */
  readonly console: string
}

/** Fetches what is missing, with its words on this process's standard error. Throws when it fails. */
export function prepareLab(): void {
  execFileSync(join(import.meta.dirname, 'prepare.sh'), [directory], { stdio: ['ignore', 2, 2] })
}

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`

/** What the VM reads at its start and writes at its end: a directory of this run alone. */
function exchangeOf({ command, cwd = root, env = {}, isInteractive = false }: LabWish): string {
  mkdirSync(join(directory, 'runs'), { recursive: true })
  const exchange = mkdtempSync(join(directory, 'runs', 'run-'))
  copyFileSync(join(import.meta.dirname, 'guest.sh'), join(exchange, 'guest.sh'))
  const settings = [`LAB_DIRECTORY=${quoted(directory)}`, `LAB_INTERACTIVE=${isInteractive ? 1 : 0}`]
  writeFileSync(join(exchange, 'settings'), `${settings.join('\n')}\n`)
  // This process's own Node comes first, as for whoever calls a test on the machine.
  const path = `${dirname(process.execPath)}:${process.env.PATH}`
  const exported = Object.entries({ PATH: path, ...env }).map(([name, value]) => `export ${name}=${quoted(value)}`)
  const lines = [...exported, `cd ${quoted(cwd)} && exec ${command.map(quoted).join(' ')}`]
  writeFileSync(join(exchange, 'command'), `${lines.join('\n')}\n`)
  return exchange
}

function qemuArguments(exchange: string): string[] {
  const share = (tag: string, path: string, more = ''): string[] => [
    '-virtfs',
    `local,path=${path},mount_tag=${tag},security_model=none,multidevs=remap${more}`,
  ]
  const release = 'console=ttyS0 panic=-1 quiet loglevel=4 intel_iommu=on mitigations=off random.trust_cpu=on'
  return [
    ...['-nodefaults', '-display', 'none', '-no-reboot', '-accel', 'tcg,thread=multi'],
    ...['-machine', 'q35,kernel-irqchip=split', '-cpu', 'max', '-smp', '2', '-m', '2048'],
    ...['-kernel', join(directory, 'vmlinuz'), '-initrd', join(directory, 'initramfs'), '-append', release],
    ...['-serial', `file:${join(exchange, 'console')}`],
    ...[
      '-device',
      'virtio-serial',
      '-chardev',
      'stdio,id=command,signal=off',
      '-device',
      'virtconsole,chardev=command',
    ],
    ...share('machine', '/', ',readonly=on'),
    ...share('exchange', exchange),
    ...['-device', 'intel-iommu,intremap=on,caching-mode=on'],
    // The hub is the switch that both NICs are plugged into.
    ...['-netdev', 'hubport,hubid=0,id=wire0', '-netdev', 'hubport,hubid=0,id=wire1'],
    ...[
      '-device',
      'pcie-root-port,id=rp1,slot=1',
      '-device',
      'igb,bus=rp1,netdev=wire0,mac=52:54:00:00:00:01,romfile=',
    ],
    ...[
      '-device',
      'pcie-root-port,id=rp2,slot=2',
      '-device',
      'e1000e,bus=rp2,netdev=wire1,mac=52:54:00:00:00:02,romfile=',
    ],
  ]
}

/** Starts QEMU; the kernel kills it when this process dies, however that comes about. */
async function runQemu(exchange: string, wish: LabWish): Promise<{ output: string; ending: string }> {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...qemuArguments(exchange)], {
    stdio: wish.isInteractive ? 'inherit' : ['ignore', 'pipe', 'pipe'],
  })
  let [output, words, ending] = ['', '', '']
  const kill = (why: string): void => {
    ending ||= why
    child.kill('SIGKILL')
  }
  const limit = setTimeout(() => kill(`it took more than ${wish.timeoutSeconds} s`), wish.timeoutSeconds * 1000)
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text
    wish.onOutput?.(text)
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words += text
  })
  return await new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new Error('Cannot start the lab: "setpriv" does not run', { cause: error })))
    child.on('close', (code, signal) => {
      clearTimeout(limit)
      ending ||= code === 0 ? '' : `QEMU ended with ${signal ?? code}: ${words.trim()}`
      resolve({ output, ending })
    })
  })
}

/** Boots the VM, runs the command and powers off. Throws when no exit code came back, with the kernel's last words. */
export async function runInLab(wish: LabWish): Promise<LabAnswer> {
  prepareLab()
  const exchange = exchangeOf(wish)
  const start = performance.now()
  try {
    const { output, ending } = await runQemu(exchange, wish)
    const seconds = (performance.now() - start) / 1000
    const consoleFile = join(exchange, 'console')
    const messages = existsSync(consoleFile) ? readFileSync(consoleFile, 'utf8') : ''
    const exitFile = join(exchange, 'exit')
    if (existsSync(exitFile)) {
      return { exitCode: Number(readFileSync(exitFile, 'utf8')), output, seconds, console: messages }
    }
    throw new Error(`The lab did not come back: ${ending}\n${output}\n${messages}`)
  } finally {
    rmSync(exchange, { recursive: true, force: true })
  }
}
