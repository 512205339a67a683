/** A node with VFs, whose pods berth-sriov attaches: what the tests of it share. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Answer, Attached, CallOptions, Pod } from '../e2e/host.ts'
import { binaries, ip } from '../e2e/host.ts'
import { LabHost, otherNic, pciOf } from './guest.ts'

const plugin = 'berth-sriov'

export const range = { type: 'berth-ipam', range: '10.30.0.0/24' }

/** One more address, of IPv6. */
export const dual = { ...range, ipRanges: [{ range: 'fd00:30::/64' }] }

/** A LabHost that also complains of a VF which is still held at the end. */
export class SriovHost extends LabHost {
  /** A config for a VF by its number; `more` replaces its keys. */
  vf(index: number, more: object = {}): Record<string, unknown> {
    return { cniVersion: '1.1.0', name: 'net-a', type: plugin, deviceID: pciOf(index), ...more }
  }

  override call(verb: string, pod: Pod, config: object | string, options: CallOptions = {}): Answer {
    return super.call(verb, pod, config, { plugin, ...options })
  }

  /** ADD that must be refused: its error. */
  refusal(pod: Pod, config: object, options: CallOptions = {}): { code: number; msg: string } {
    const answer = this.call('ADD', pod, config, options)
    if (answer.exitCode === 0) throw new Error(`ADD succeeded: ${answer.stdout}`)
    return JSON.parse(answer.stdout)
  }

  del(pod: Pod, config: object, options: CallOptions = {}): void {
    const answer = this.call('DEL', pod, config, options)
    if (answer.exitCode !== 0 || answer.stdout !== '') throw new Error(`DEL failed: ${answer.stdout}${answer.stderr}`)
  }

  /** The PCI addresses that somebody holds. */
  held(): string[] {
    const directory = join(this.dataDir, 'vf')
    return existsSync(directory) ? readdirSync(directory).filter((name) => !name.startsWith('.')) : []
  }

  /** `berth` on this host's data: what it prints. */
  berth(...args: string[]): string {
    const env = { ...process.env, BERTH_DATA_DIR: this.dataDir }
    return spawnSync(join(binaries, 'berth'), args, { encoding: 'utf8', env }).stdout
  }

  /** The other NIC, which is on the same wire, with an address. */
  peer(cidr: string): Disposable & { readonly address: string } {
    ip('addr', 'add', cidr, 'dev', otherNic)
    return { address: cidr.replace(/\/.*/, ''), [Symbol.dispose]: () => ip('addr', 'del', cidr, 'dev', otherNic) }
  }

  override leftovers(): string[] {
    return [...super.leftovers(), ...this.held().map((address) => `held: ${address}`)]
  }
}

export interface PodLink {
  readonly ifname: string
  readonly address: string
  readonly mtu: number
  readonly flags: readonly string[]
  readonly altnames?: readonly string[]
}

/** The interface in a pod; undefined when there is none of that name. */
export function podLink(pod: Pod, name = 'net1'): PodLink | undefined {
  const links: PodLink[] = JSON.parse(ip('-json', '-n', pod.name, 'link'))
  return links.find(({ ifname }) => ifname === name)
}

export function ping(from: Pod, address: string): string {
  try {
    return ip('netns', 'exec', from.name, 'ping', '-c', '1', '-W', '3', address)
  } catch (error) {
    return error instanceof Error && 'stdout' in error ? String(error.stdout) : String(error)
  }
}

export const macOf = ({ interfaces }: Attached): string | undefined => interfaces?.[0]?.mac
