import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { describe, expect, it, onTestFinished } from 'vitest'
import { holdsAddress, livingNamespaces, stillUsed } from '../../../shared/host/living.ts'
import { ip } from '../addresses.ts'
import { temporaryDirectory } from '../temporary.ts'
import { addAddress, cable, describeInNamespaces, ip as ipCommand, newNamespace } from './namespaces.ts'

const identityOf = (path: string): { dev: number; ino: number } => {
  const { dev, ino } = statSync(path)
  return { dev, ino }
}

/** A process in a network namespace of its own, and nobody else in it; `pause` waits on its input. */
async function processInNamespace(...command: string[]): Promise<ChildProcess & { pid: number }> {
  const child = spawn('unshare', [...command, 'sh', '-c', 'echo ready; read _'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: 15_000,
    killSignal: 'SIGKILL',
  })
  onTestFinished(() => end(child))
  await once(child.stdout, 'data')
  if (child.pid === undefined) throw new Error('no process')
  return Object.assign(child, { pid: child.pid })
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

/** Waits until the kernel has taken a namespace down: it does so some time after its last user has gone. */
async function gone(namespace: { dev: number; ino: number }): Promise<boolean> {
  for (let round = 0; round < 50; round++) {
    if (livingNamespaces().find(namespace) === undefined) return true
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return false
}

/** Runs a program in a PID namespace of its own, through a shell if one is given, and returns the JSON that it prints. */
function runApart(shell: string[], program: string): unknown {
  const room = new URL('../../../shared/host/living.ts', import.meta.url).pathname
  const imports = `
    import { livingNamespaces, stillUsed } from '${room}'
    import { spawn } from 'node:child_process'
    import { once } from 'node:events'
  `
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module', '--eval']
  const args = ['--pid', '--fork', '--mount-proc', '--kill-child', ...shell, ...node, imports + program]
  const done = spawnSync('unshare', args, { encoding: 'utf8', timeout: 10_000, killSignal: 'SIGKILL' })
  expect(done.stderr).toBe('')
  return JSON.parse(done.stdout)
}

describe('livingNamespaces()', () => {
  it('finds its own namespace', () => {
    const own = identityOf('/proc/self/ns/net')
    const path = livingNamespaces().find(own)
    expect(path && identityOf(path)).toEqual(own)
  })

  it('finds nothing for a namespace of another device', () => {
    const own = identityOf('/proc/self/ns/net')
    expect(livingNamespaces().find({ ...own, dev: own.dev + 1 })).toBeUndefined()
  })
})

describeInNamespaces('livingNamespaces() as root', () => {
  // Started in a container they are skipped: what is true there is the last test's business.
  it.runIf(identityOf('/proc/self/ns/pid').ino === 0xeffffffc)('sees all of a machine', () => {
    expect(livingNamespaces().complete).toBe(true)
  })

  it('finds a namespace that only a descriptor holds, and not when that is closed', async () => {
    const namespace = newNamespace()
    const path = `/run/netns/${namespace}`
    const identity = identityOf(path)
    const holder = spawn('sh', ['-c', 'exec 9<"$0"; echo ready; read _; exec 9<&-; echo closed; read _', path], {
      stdio: ['pipe', 'pipe', 'inherit'],
      timeout: 15_000,
    })
    onTestFinished(() => end(holder))
    await once(holder.stdout, 'data')
    ipCommand('netns', 'del', namespace)
    const found = livingNamespaces().find(identity)
    expect(found && identityOf(found)).toEqual(identity)
    expect(stillUsed(livingNamespaces(), identity, undefined, [])).toBe(false)
    holder.stdin.write('\n')
    await once(holder.stdout, 'data')
    expect(await gone(identity)).toBe(true)
  })

  it('finds a namespace that only a process holds, and not when it has ended', async () => {
    const child = await processInNamespace('--net')
    const path = `/proc/${child.pid}/ns/net`
    const identity = identityOf(path)
    const living = livingNamespaces()
    expect(living.find(identity)).toBe(path)
    await end(child)
    expect(living.find(identity)).toBeUndefined()
    expect(await gone(identity)).toBe(true)
  })

  it('finds a namespace that only a mount holds, and not when it is unmounted', () => {
    const path = `/run/netns/${newNamespace()}`
    const identity = identityOf(path)
    const living = livingNamespaces()
    expect(living.find(identity)).toBe(path)
    spawnSync('umount', [path])
    expect(living.find(identity)).toBeUndefined()
    expect(livingNamespaces().find(identity)).toBeUndefined()
  })

  it('finds a namespace at a mount point with spaces in its name', () => {
    const directory = `${temporaryDirectory()}/with space\tand \\ tab`
    mkdirSync(directory)
    const path = `${directory}/net`
    writeFileSync(path, '')
    const from = newNamespace()
    spawnSync('mount', ['--bind', `/run/netns/${from}`, path])
    onTestFinished(() => void spawnSync('umount', [path]))
    const identity = identityOf(path)
    spawnSync('umount', [`/run/netns/${from}`])
    expect(livingNamespaces().find(identity)).toBe(path)
    spawnSync('umount', [path])
  })

  it('finds a namespace that is mounted where only process 1 sees it', () => {
    const name = newNamespace()
    const { ino } = identityOf(`/run/netns/${name}`)
    const program = `
      const identity = { dev: ${identityOf('/proc/self/ns/net').dev}, ino: ${ino} }
      const living = livingNamespaces()
      console.log(JSON.stringify([living.find(identity), stillUsed(living, identity, undefined, [])]))
    `
    // A PID namespace whose first process keeps the mount; the program has given it up.
    const hidden = `umount /run/netns/${name} && exec "$@"`
    const shell = ['sh', '-c', 'unshare --mount sh -c "$0" sh "$@"; exit $?', hidden]
    expect(runApart(shell, program)).toEqual([`/proc/1/root/run/netns/${name}`, false])
  })

  it('keeps in doubt a namespace whose mount is hidden under another one', () => {
    const directory = temporaryDirectory()
    const path = `${directory}/net`
    writeFileSync(path, '')
    const from = newNamespace()
    spawnSync('mount', ['--bind', `/run/netns/${from}`, path])
    const identity = identityOf(path)
    spawnSync('umount', [`/run/netns/${from}`])
    spawnSync('mount', ['-t', 'tmpfs', 'none', directory])
    onTestFinished(() => void spawnSync('umount', [directory]))
    try {
      const living = livingNamespaces()
      expect(living.find(identity)).toBe(path)
      expect(stillUsed(living, identity, undefined, [ip('10.0.0.7')])).toBe(true)
    } finally {
      spawnSync('umount', [directory])
      spawnSync('umount', [path])
    }
  })

  it('is not complete in a PID namespace of its own, and is where one has others below it', () => {
    const program = `
      const alone = livingNamespaces().complete
      const child = spawn('unshare', ['--pid', '--fork', '--kill-child', 'sh', '-c', 'echo; read _'], {
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      await once(child.stdout, 'data')
      console.log(JSON.stringify([alone, livingNamespaces().complete]))
      child.stdin.end()
    `
    expect(runApart([], program)).toEqual([false, true])
  })
})

describeInNamespaces('holdsAddress()', () => {
  const free = [ip('10.0.0.9'), ip('fd00::9')]

  it('says yes for a link by index, and for an address of either family on any link', () => {
    const { here, near } = cable()
    addAddress(here, 'near', '10.0.0.7/24')
    addAddress(here, 'near', 'fd00::7/64')
    const path = `/run/netns/${here}`
    expect(holdsAddress(path, near.index, free)).toBe(true)
    expect(holdsAddress(path, undefined, [...free, ip('10.0.0.7')])).toBe(true)
    expect(holdsAddress(path, undefined, [...free, ip('fd00::7')])).toBe(true)
  })

  it('says no for another index, and other addresses', () => {
    const { here, near } = cable()
    addAddress(here, 'near', '10.0.0.7/24')
    const path = `/run/netns/${here}`
    expect(holdsAddress(path, near.index + 1000, free)).toBe(false)
    expect(holdsAddress(path, undefined, free)).toBe(false)
    expect(holdsAddress(path, undefined, [])).toBe(false)
  })

  it('says no when there is no namespace at the path, and yes when that cannot be known', () => {
    const directory = temporaryDirectory()
    writeFileSync(`${directory}/left`, '')
    expect(holdsAddress(`${directory}/left`, undefined, free)).toBe(false)
    expect(holdsAddress(`${directory}/absent`, undefined, free)).toBe(false)
    // A namespace, but none of networks: it cannot be entered.
    expect(holdsAddress('/proc/self/ns/uts', undefined, free)).toBe(true)
  })
})

describeInNamespaces('stillUsed()', () => {
  const address = ip('10.0.0.7')

  it('follows a namespace from a process that ends to one that stays', async () => {
    const child = await processInNamespace('--net')
    const path = `/proc/${child.pid}/ns/net`
    const identity = identityOf(path)
    ipCommand('netns', 'attach', `berth-unit-${process.pid}-held`, String(child.pid))
    onTestFinished(() => void spawnSync('ip', ['netns', 'del', `berth-unit-${process.pid}-held`]))
    const living = livingNamespaces()
    spawnSync('nsenter', [`--net=${path}`, 'ip', 'addr', 'add', '10.0.0.7/24', 'dev', 'lo'])
    expect(stillUsed(living, identity, undefined, [address])).toBe(true)
    await end(child)
    expect(stillUsed(living, identity, undefined, [address])).toBe(true)
    spawnSync('ip', ['netns', 'del', `berth-unit-${process.pid}-held`])
    expect(stillUsed(living, identity, undefined, [address])).toBe(false)
  })

  it('says no when the inode is that of a namespace which holds nothing of the attachment', () => {
    const { here, near } = cable()
    addAddress(here, 'near', '10.0.0.8/24')
    const identity = identityOf(`/run/netns/${here}`)
    const was = { index: near.index + 1000, mac: near.mac }
    expect(stillUsed(livingNamespaces(), identity, was.index, [address])).toBe(false)
    expect(stillUsed(livingNamespaces(), identity, near.index, [address])).toBe(true)
    expect(stillUsed(livingNamespaces(), identity, was.index, [ip('10.0.0.8')])).toBe(true)
  })

  it('says yes for what is not found when not everything was seen', () => {
    const nothing = { find: () => undefined }
    expect(stillUsed({ ...nothing, complete: false }, { dev: 4, ino: 1 }, undefined, [address])).toBe(true)
    expect(stillUsed({ ...nothing, complete: true }, { dev: 4, ino: 1 }, undefined, [address])).toBe(false)
  })
})
