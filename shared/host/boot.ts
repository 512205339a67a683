/** The identity of this boot and of this host. */
import { readFileSync } from 'node:fs'

const readKernel = (name: string): string => readFileSync(`/proc/sys/kernel/${name}`, 'utf8').trim()

/** A namespace, an interface index or a process id means nothing after the next boot. */
export const readBootId = (): string => readKernel('random/boot_id')

/** The node's name, as far as the kernel knows it. */
export const readHostName = (): string => readKernel('hostname')

/** /etc/machine-id; '' where there is none, as in many a container. */
export function readMachineId(): string {
  try {
    return readFileSync('/etc/machine-id', 'utf8').trim()
  } catch {
    return ''
  }
}

/**
 * The node, told from every other one: its name, and the beginning of /etc/machine-id where there is one. Two clusters that
 * share a directory may each have a "worker-1".
 */
export function readHostIdentity(): string {
  const machine = readMachineId()
  return machine === '' ? readHostName() : `${readHostName()}@${machine.slice(0, 8)}`
}
