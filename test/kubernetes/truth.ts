/** What the kernel says of a pod's links, to be compared with what Multus says in the pod's annotation. */

import type { Machine } from './machine.ts'
import type { NetworkStatus } from './rig.ts'
import type { Sandbox } from './runtime.ts'

interface KernelLink {
  readonly ifname: string
  readonly address: string
  readonly mtu: number
  readonly addr_info: { readonly local: string; readonly prefixlen: number; readonly scope: string }[]
}

interface KernelRoute {
  readonly dst: string
  readonly gateway?: string
  readonly dev: string
}

export class Truth {
  readonly #machine: Machine
  readonly #name: string

  constructor(machine: Machine, { name }: Sandbox) {
    this.#machine = machine
    this.#name = name
  }

  #ip(...args: readonly string[]): unknown {
    return JSON.parse(this.#machine.ask(['ip', '-json', '-n', this.#name, ...args]) || '[]')
  }

  /** By name: our links have indexes at random. */
  links(): KernelLink[] {
    const links = (this.#ip('address') as KernelLink[]).filter(({ ifname }) => ifname !== 'lo')
    return links.sort(({ ifname: one }, { ifname: other }) => (one < other ? -1 : 1))
  }

  link(ifName: string): KernelLink {
    const found = this.links().find(({ ifname }) => ifname === ifName)
    if (found === undefined) throw new Error(`no link "${ifName}" in the pod`)
    return found
  }

  /** Addresses with their prefixes, without those that the kernel makes itself. */
  addresses(ifName: string): string[] {
    const own = this.link(ifName).addr_info.filter(({ scope }) => scope === 'global')
    return own.map(({ local, prefixlen }) => `${local}/${prefixlen}`)
  }

  /** Default routes of both families: `eth0 via 10.244.0.1`. */
  defaultRoutes(): string[] {
    const routes = ['-4', '-6'].flatMap((family) => this.#ip(family, 'route', 'show', 'default') as KernelRoute[])
    return routes.map(({ dev, gateway }) => `${dev} via ${gateway}`)
  }

  /** The annotation's fields that the kernel knows, as they should be: one entry for each link. */
  status(): Pick<NetworkStatus, 'interface' | 'ips' | 'mac' | 'mtu'>[] {
    return this.links().map(({ ifname, address, mtu }) => ({
      interface: ifname,
      ips: this.addresses(ifname).map((text) => text.replace(/\/.*/, '')),
      mac: address,
      mtu,
    }))
  }

  ping(address: string): boolean {
    const ping = ['ip', 'netns', 'exec', this.#name, 'ping', '-c', '1', '-W', '3', address]
    return this.#machine.run(ping).exitCode === 0
  }
}
