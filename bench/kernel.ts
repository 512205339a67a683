/**
 * The kernel's part of an ADD, measured inside one process: the time in the system calls that berth-macvlan makes for
 * namespace, link, sysctls, addresses and routes, beside the floor: a C program that sends the fewest messages.
 */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { work } from '../packaging/build.ts'
import { configureLink } from '../plugins/configure.ts'
import { layer3Of, layer3Shape } from '../plugins/layer3.ts'
import { keyed, readKeys } from '../shared/cni/keys.ts'
import type { Result } from '../shared/cni/result.ts'
import { deleteLink, findLink } from '../shared/host/links.ts'
import { NetlinkSocket } from '../shared/host/netlink.ts'
import { insideNetns, openNetns } from '../shared/host/netns.ts'
import { createMacvlan } from '../shared/host/new-links.ts'
import { randomLinkIndex, randomMac } from '../shared/host/random.ts'
import type { Samples } from './measure.ts'

export const kernelNames = {
  floor: 'kernel floor of an ADD, C, IPv4',
  v4: 'create and configure in a warm process, IPv4',
  dual: 'create and configure in a warm process, dual stack',
} as const

export const insideCalls = (name: string): string => `${name}: in file calls`

const rest = { interfaces: [], dns: {} }
const results: Record<string, Result> = {
  [kernelNames.v4]: { ...rest, ips: [{ address: '10.0.0.5/24', gateway: '10.0.0.1' }], routes: [{ dst: '0.0.0.0/0' }] },
  [kernelNames.dual]: {
    ...rest,
    ips: [{ address: '10.0.0.5/24', gateway: '10.0.0.1' }, { address: 'fd00::5/64' }],
    routes: [{ dst: '0.0.0.0/0' }, { dst: 'fd01::/64', gw: 'fd00::1' }],
  },
}

/** Rounds of one side before the other has its turn: a C process is started for each turn. */
const turnRounds = 10

export function buildFloor(): string {
  const floor = join(work, 'floor')
  // Static: what a dynamic linker needs to start it is no part of the floor.
  const flags = ['-O2', '-static', '-Wall', '-Wextra', '-Werror', '-o', floor]
  execFileSync('gcc', [...flags, join(import.meta.dirname, 'floor.c')], { stdio: 'inherit' })
  return floor
}

interface Place {
  readonly podPath: string
  readonly host: NetlinkSocket
  readonly masterIndex: number
}

/** Milliseconds spent inside Node's file calls since the last reset: every netlink message and sysctl is one of them. */
const inside = { ms: 0 }

/** Puts a stop-watch around the file calls that the host room makes; the few calls through node:ffi take microseconds. */
function watchSystemCalls(): void {
  for (const name of ['openSync', 'closeSync', 'readSync', 'writeSync', 'fstatSync'] as const) {
    const original: (...args: never[]) => unknown = fs[name]
    const watched = (...args: never[]): unknown => {
      const start = performance.now()
      try {
        return original(...args)
      } finally {
        inside.ms += performance.now() - start
      }
    }
    Object.assign(fs, { [name]: watched })
  }
  syncBuiltinESMExports()
}

function attachOnce(samples: Samples, name: string, result: Result, { podPath, host, masterIndex }: Place): void {
  const chosen = { name: 'net1', index: randomLinkIndex(), mac: randomMac(), parentIndex: masterIndex }
  const spec = { ...chosen, mode: 'bridge', mtuBytes: undefined, broadcastQueueLength: undefined } as const
  inside.ms = 0
  const start = process.hrtime.bigint()
  using netns = openNetns(podPath, false)
  using pod = insideNetns(netns, () => new NetlinkSocket())
  createMacvlan(host, { ...spec, netns })
  configureLink(pod, netns, spec, result, layer3)
  samples.add(name, Number(process.hrtime.bigint() - start) / 1e6)
  samples.add(insideCalls(name), inside.ms)
  deleteLink(pod, spec.index)
}

/** As a config without any of these keys has it. */
const layer3 = layer3Of(readKeys(keyed(layer3Shape()), {}, ''))

/** Both sides in turns, `rounds` of each. */
export function measureKernelPart(
  samples: Samples,
  floor: string,
  podPath: string,
  masterName: string,
  rounds: number,
): void {
  watchSystemCalls()
  using host = new NetlinkSocket()
  const master = findLink(host, { name: masterName })
  if (master === undefined) throw new Error(`no link ${masterName}`)
  const place = { podPath, host, masterIndex: master.index }
  for (let done = 0; done < rounds; done += turnRounds) {
    const turn = Math.min(turnRounds, rounds - done)
    const printed = execFileSync(floor, [podPath, String(master.index), String(turn)], { encoding: 'utf8' })
    for (const line of printed.trim().split('\n')) samples.add(kernelNames.floor, Number(line) / 1000)
    for (let round = 0; round < turn; round++) {
      for (const [name, result] of Object.entries(results)) attachOnce(samples, name, result, place)
    }
  }
}
