/** QEMU for one run of the lab: the machine that it plays, and its life as a child of this process. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'

export interface QemuWish {
  /** Of the kernel and the initramfs. */
  readonly directory: string
  /** Shared with the VM for reading and writing; the kernel's messages go to `console` in it. */
  readonly exchange: string
  readonly timeoutSeconds: number
  readonly isInteractive?: boolean
  readonly onOutput?: (text: string) => void
}

/**
 * quiet: a message on the emulated serial line costs more than what it tells of. no_timer_check: whether interrupts of the clock arrive
 * is judged by the time that a loop takes, and on a busy machine the answer is no and a panic.
 */
const kernelWords = 'console=ttyS0 panic=-1 quiet intel_iommu=on mitigations=off random.trust_cpu=on no_timer_check'

/** A NIC in a slot of its own, plugged into the hub that is the lab's switch. Without its boot ROM: nobody boots from it. */
function nic(device: string, slot: number): string[] {
  return [
    ...['-netdev', `hubport,hubid=0,id=wire${slot}`],
    ...['-device', `pcie-root-port,id=slot${slot},slot=${slot}`],
    ...['-device', `${device},bus=slot${slot},netdev=wire${slot},mac=52:54:00:00:00:0${slot},romfile=`],
  ]
}

function share(tag: string, path: string, more = ''): string[] {
  // A comma ends a value here, and two are one that does not.
  return [
    '-virtfs',
    `local,path=${path.replaceAll(',', ',,')},mount_tag=${tag},security_model=none,multidevs=remap${more}`,
  ]
}

function machine({ directory, exchange, isInteractive = false }: QemuWish): string[] {
  // A terminal for a shell; for a command a port whose bytes nobody touches.
  const port = isInteractive ? 'virtconsole' : 'virtserialport'
  return [
    ...['-nodefaults', '-display', 'none', '-no-reboot', '-accel', 'tcg,thread=multi'],
    ...['-machine', 'q35,kernel-irqchip=split', '-cpu', 'max', '-smp', '2', '-m', '2048'],
    ...['-kernel', join(directory, 'kernel'), '-initrd', join(directory, 'initramfs'), '-append', kernelWords],
    ...['-serial', `file:${join(exchange, 'console').replaceAll(',', ',,')}`],
    ...['-chardev', 'stdio,id=command,signal=off', '-device', 'virtio-serial', '-device', `${port},chardev=command`],
    ...share('machine', '/', ',readonly=on'),
    ...share('exchange', exchange),
    // Interrupts are remapped so that vfio-pci takes a device without being told that it is unsafe.
    ...['-device', 'intel-iommu,intremap=on'],
    ...nic('igb', 1),
    ...nic('e1000e', 2),
  ]
}

/**
 * Runs the VM to its end. The kernel kills QEMU when this process dies, however that comes about.
 *
 * @returns what came through the port, and how it ended; '' for a VM that powered itself off
 */
export async function runQemu(wish: QemuWish): Promise<{ output: string; ending: string }> {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...machine(wish)], {
    // A port whose standard input has ended is one that nobody listens to, and a write to it waits: the input stays open.
    stdio: wish.isInteractive ? 'inherit' : 'pipe',
  })
  let [output, words, killed] = ['', '', '']
  const limit = setTimeout(() => {
    killed = `it took more than ${wish.timeoutSeconds} s`
    child.kill('SIGKILL')
  }, wish.timeoutSeconds * 1000)
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text
    wish.onOutput?.(text)
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words += text
  })
  return await new Promise((resolve, reject) => {
    child.on('error', (error) => {
      clearTimeout(limit)
      reject(new Error('Cannot start the lab: "setpriv" does not run', { cause: error }))
    })
    child.on('close', (code, signal) => {
      clearTimeout(limit)
      const failed = code === 0 ? '' : `QEMU ended with ${signal ?? code}: ${words.trim()}`
      resolve({ output, ending: killed === '' ? failed : killed })
    })
  })
}
