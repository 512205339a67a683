/** The identity of this boot and of this host. */
import { readFileSync } from 'node:fs'

const readKernel = (name: string): string => readFileSync(`/proc/sys/kernel/${name}`, 'utf8').trim()

/** A namespace, an interface index or a process id means nothing after the next boot. */
export const readBootId = (): string => readKernel('random/boot_id')

/** The node's name, as far as the kernel knows it. */
export const readHostName = (): string => readKernel('hostname')

/**
 * The node, told from every other one: its name, and the beginning of /etc/machine-id where there is one. Two clusters that
 * share a directory may each have a "worker-1".
 */
export function readHostIdentity(): string {
  try {
    return `${readHostName()}@${readFileSync('/etc/machine-id', 'utf8').slice(0, 8)}`
  } catch {
    return readHostName()
  }
}
