/** A node whose wire has a VLAN, for the tests of VLAN masters. */
import { afterAll, beforeAll } from 'vitest'
import { Host, ip, type Pod } from '../e2e/host.ts'

export const far = '10.20.0.2'

/** A node at whose switch somebody has an address in VLAN 20 and nobody has one without a tag. */
export class Tagged extends Host {
  constructor() {
    super()
    this.link('add', 'far', 'link', 'switch', 'type', 'vlan', 'id', '20')
    this.link('set', 'far', 'up')
    ip('-n', this.node, 'addr', 'add', `${far}/24`, 'dev', 'far')
  }

  link(...args: string[]): string {
    return ip('-n', this.node, 'link', ...args)
  }

  vlan(name = 'nic0.20'): {
    link: string
    address: string
    mtu: number
    operstate: string
    linkinfo: { info_data: { id: number } }
  } {
    return JSON.parse(ip('-json', '-d', '-n', this.node, 'link', 'show', name))[0]
  }

  hasLink(name = 'nic0.20'): boolean {
    return this.linksOf(this.node).includes(name)
  }

  error(verb: string, pod: Pod, config: object, plugin?: string): { code: number; msg: string; details?: string } {
    return JSON.parse(this.call(verb, pod, config, plugin === undefined ? {} : { plugin }).stdout)
  }

  override leftovers(): string[] {
    return super.leftovers().filter((one) => one !== 'far')
  }
}

/** Lets the tests of a file, or of a `describe`, go through an agent on each of their nodes. */
export function throughAgent(): void {
  beforeAll(() => {
    process.env.BERTH_TEST_DOOR = 'agent'
  })
  afterAll(() => {
    delete process.env.BERTH_TEST_DOOR
  })
}

export const byName = { master: 'nic0.20', createVlan: true }
export const byKey = { vlan: 20, createVlan: true }
export const silence = { exitCode: 0, stdout: '', stderr: '' }
