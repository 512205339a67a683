/** The identity of this boot and of this host. */
import { existsSync, readFileSync } from 'node:fs'
import { rootOfInit } from './kernel-file.ts'

const readKernel = (name: string): string => readFileSync(`/proc/sys/kernel/${name}`, 'utf8').trim()

/** A namespace, an interface index or a process id means nothing after the next boot. */
export const readBootId = (): string => readKernel('random/boot_id')

/** The node's name, as far as the kernel knows it. */
export const readHostName = (): string => readKernel('hostname')

/**
 * /etc/machine-id, first as process 1 sees it: in a container with the node's processes that is the node's, and both doors call the node by
 * the same name. '' where there is none, as without systemd.
 */
export function readMachineId(): string {
  // Asked before: the first error of a process costs it a tenth of a millisecond.
  const path = [rootOfInit, ''].map((root) => `${root}/etc/machine-id`).find((one) => existsSync(one))
  try {
    return path === undefined ? '' : readFileSync(path, 'utf8').trim()
  } catch {
    // Gone, or not for us.
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
