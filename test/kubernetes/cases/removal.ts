/** The end of a pod, in good order and otherwise. */
import { readdirSync } from 'node:fs'
import { expect } from 'vitest'
import { multusCache } from '../multus.ts'
import type { Rig } from '../rig.ts'
import type { Sandbox } from '../runtime.ts'
import { Truth } from '../truth.ts'
import { type Case, macvlan } from './case.ts'

/** What Multus keeps of a pod for its DEL. */
const cacheOf = ({ machine }: Rig, { id }: Sandbox): string[] =>
  readdirSync(machine.path(multusCache)).filter((file) => file.includes(id))

const forget = ({ machine }: Rig, { id }: Sandbox): string =>
  machine.shell('rm -rf "$1/$2" "$1/results/"*"$2"*', multusCache, id)

const linksOf = (rig: Rig, sandbox: Sandbox): string[] =>
  new Truth(rig.machine, sandbox).links().map(({ ifname }) => ifname)

/** A pod with two networks. */
function attachTwo(rig: Rig): Sandbox {
  rig.define({ one: macvlan('10.50.0.0/24'), two: macvlan('10.51.0.0/24', { cniVersion: '0.3.1' }) })
  const sandbox = rig.attach('one,two')
  expect(rig.leases()).toHaveLength(2)
  expect(linksOf(rig, sandbox)).toEqual(['eth0', 'net1', 'net2'])
  return sandbox
}

/** The end of a sandbox whose networks must be gone before its namespace is. */
function expectNothing(rig: Rig, sandbox: Sandbox): void {
  expect(linksOf(rig, sandbox)).toEqual([])
  expect(rig.leases()).toEqual([])
  rig.runtime.remove(sandbox)
}

const withCache: Case = {
  title: "DEL with Multus' cache, twice",
  run(rig) {
    const sandbox = attachTwo(rig)
    expect(cacheOf(rig, sandbox)).toHaveLength(1)
    rig.runtime.del(sandbox)
    expect(cacheOf(rig, sandbox)).toEqual([])
    rig.runtime.del(sandbox)
    expectNothing(rig, sandbox)
    rig.deletePod(sandbox)
  },
}

const withoutCache: Case = {
  title: "DEL without Multus' cache, the pod still in the API",
  run(rig) {
    const sandbox = attachTwo(rig)
    forget(rig, sandbox)
    rig.runtime.del(sandbox)
    expectNothing(rig, sandbox)
    rig.deletePod(sandbox)
  },
}

const withoutNamespace: Case = {
  title: 'DEL after the network namespace is gone',
  run(rig) {
    const sandbox = attachTwo(rig)
    rig.runtime.remove(sandbox)
    rig.runtime.del(sandbox)
    expect(rig.leases()).toEqual([])
    rig.deletePod(sandbox)
  },
}

const withoutAnything: Case = {
  title: "DEL without Multus' cache, the pod gone from the API: a sweep heals",
  run(rig) {
    const sandbox = attachTwo(rig)
    forget(rig, sandbox)
    rig.deletePod(sandbox)
    // Multus knows nothing any more and says that all is well: our plugins are not even called.
    rig.runtime.del(sandbox)
    expect(linksOf(rig, sandbox)).toEqual(['eth0', 'net1', 'net2'])
    expect(rig.leases()).toHaveLength(2)
    rig.runtime.remove(sandbox)
    rig.sweep()
    expect(rig.leases()).toEqual([])
    rig.machine.shell('rm -f /var/lib/cni/networks/cluster-network/10.*')
  },
}

const serverDown: Case = {
  title: 'a pod deleted while the API server is down',
  run(rig) {
    const sandbox = attachTwo(rig)
    rig.cluster.stopApiServer()
    try {
      rig.runtime.del(sandbox)
      expectNothing(rig, sandbox)
    } finally {
      rig.cluster.startApiServer()
    }
    rig.deletePod(sandbox)
  },
}

const serverDownForgotten: Case = {
  title: "a pod deleted while the API server is down, without Multus' cache: a sweep heals",
  run(rig) {
    const sandbox = attachTwo(rig)
    forget(rig, sandbox)
    rig.cluster.stopApiServer()
    let off: Disposable | undefined
    try {
      rig.runtime.call('del', sandbox)
      rig.runtime.remove(sandbox)
      off = rig.multusOff()
      rig.sweepOnly()
      expect(rig.leases()).toEqual([])
    } finally {
      rig.cluster.startApiServer()
      off?.[Symbol.dispose]()
    }
    rig.deletePod(sandbox)
    rig.machine.shell('rm -f /var/lib/cni/networks/cluster-network/10.*')
  },
}

export const removal: readonly Case[] = [
  withCache,
  withoutCache,
  withoutNamespace,
  withoutAnything,
  serverDown,
  serverDownForgotten,
]
