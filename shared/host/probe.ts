/**
 * Asking the wire whether a stranger already uses an address, before its lease is final.
 *
 * The link is up and has no address yet. Nobody on it is obliged to answer, and everybody may lie: silence is not proof
 * and an answer is only somebody's word. The call blocks its thread for up to `waitMaxMs`.
 */

import { closeSync, readSync, writeSync } from 'node:fs'
import { type Ip, sameIp } from '../address.ts'
import { monotonicMs } from '../clock.ts'
import { answerGroups, type Conflict, etherType, probeFrame, readConflict } from './frames.ts'
import { SystemError } from './libc.ts'
import { findLink, formatMac, macBytes } from './links.ts'
import { NetlinkSocket } from './netlink.ts'
import { insideNetns, type Netns } from './netns.ts'
import { openPacket, setPatience } from './sockets.ts'

export type { Conflict } from './frames.ts'

/** One frame may be lost, also because the link has only just come up; a third would make every ADD longer. */
const probesPerAddress = 2

/**
 * What is not left to listen: closing a packet socket waits for the kernel's RCU (8 to 12 ms measured), and a wait with a
 * time ends up to two ticks of its clock late.
 */
const overrunMs = 20

const ENODEV = 19
const ENETDOWN = 100
const ENOBUFS = 105

/** What is received, one frame at a time. A longer frame is cut, and then no answer to a probe anyway. */
const received = Buffer.allocUnsafeSlow(2048)

interface ProbedLink {
  readonly index: number
  /** In colon notation. */
  readonly mac: string
}

/**
 * Asks on the link, which is one of `netns`, whether somebody else has or wants one of the addresses; at most one conflict an
 * address, in the order of `ips`. Returns when all have one, and after `waitMaxMs` at the latest, however many frames arrive. Throws SystemError when the link is gone (ENODEV), or down or
 * without carrier at the beginning or the end (ENETDOWN), or cannot send (ENOBUFS): then not everybody was asked.
 */
export function probe(netns: Netns, link: ProbedLink, ips: readonly Ip[], waitMaxMs = 200): Conflict[] {
  if (ips.length === 0) return []
  const start = monotonicMs()
  const listenMs = Math.max(waitMaxMs - overrunMs, waitMaxMs / 2)
  using kernel = insideNetns(netns, () => new NetlinkSocket())
  requireCarrier(kernel, link.index)
  using wire = insideNetns(netns, () => new Wire(link, ips, waitMaxMs))
  const conflicts: (Conflict | undefined)[] = ips.map(() => undefined)
  const isOpen = (_: unknown, index: number): boolean => conflicts[index] === undefined
  for (let round = 1; round <= probesPerAddress; round++) {
    for (const ip of ips.filter(isOpen)) {
      if (wire.ask(ip)) continue
      // Dropped here: because the carrier went, or because the way out is full. Nobody was asked in either case.
      requireCarrier(kernel, link.index)
      throw new SystemError(`probe on link ${link.index}`, ENOBUFS, 'the send queue is full')
    }
    const roundEnd = start + (listenMs * round) / probesPerAddress
    while (conflicts.includes(undefined)) {
      const conflict = wire.listen(roundEnd)
      if (conflict === 'timeout') break
      if (conflict === undefined) continue
      for (const [index, ip] of ips.entries()) if (sameIp(ip, conflict.ip)) conflicts[index] ??= conflict
    }
  }
  if (conflicts.includes(undefined)) requireCarrier(kernel, link.index)
  return conflicts.filter((conflict) => conflict !== undefined)
}

/** The packet socket does not tell: what is sent to a link without carrier may vanish without an error. */
function requireCarrier(kernel: NetlinkSocket, index: number): void {
  const link = findLink(kernel, { index })
  if (link === undefined) throw new SystemError(`probe on link ${index}`, ENODEV)
  if (!link.up) throw new SystemError(`probe on link ${index}`, ENETDOWN, 'the link is down')
  if (!link.carrier) throw new SystemError(`probe on link ${index}`, ENETDOWN, 'the link has no carrier')
}

/** All that a socket of one family need not hear: the other family's traffic. */
function protocolOf(ips: readonly Ip[]): number {
  const [first, ...others] = ips.map(({ family }) => (family === 4 ? etherType.ARP : etherType.IPV6))
  return first === undefined || others.some((type) => type !== first) ? etherType.ALL : first
}

/** An open link, to be made with the thread inside its namespace. */
class Wire implements Disposable {
  readonly #link: ProbedLink
  readonly #mac: Uint8Array
  readonly #fd: number

  constructor(link: ProbedLink, ips: readonly Ip[], waitMaxMs: number) {
    this.#link = link
    this.#mac = macBytes(link.mac)
    this.#fd = openPacket(link.index, protocolOf(ips), answerGroups(ips))
    setPatience(this.#fd, 'send', waitMaxMs)
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }

  /** Sends one probe; false when the kernel dropped it. */
  ask(ip: Ip): boolean {
    try {
      this.#checked(() => writeSync(this.#fd, probeFrame(this.#mac, ip)))
      return true
    } catch (error) {
      if (error instanceof SystemError && error.code === 'ENOBUFS') return false
      throw error
    }
  }

  /** Takes one frame; undefined when it is none of a stranger's that says it has an address. `until` as monotonicMs(). */
  listen(until: number): Conflict | 'timeout' | undefined {
    const leftMs = until - monotonicMs()
    if (leftMs <= 0) return 'timeout'
    setPatience(this.#fd, 'receive', leftMs)
    let length: number
    try {
      length = this.#checked(() => readSync(this.#fd, received))
    } catch (error) {
      if (!(error instanceof SystemError)) throw error
      if (error.code === 'EAGAIN') return 'timeout'
      // With a timeout set a signal ends the wait (signal(7)): that of a child that has ended, say.
      if (error.code === 'EINTR') return undefined
      throw error
    }
    const conflict = readConflict(received.subarray(0, length))
    // Some switches send a broadcast back to where it came from.
    return conflict?.mac === formatMac(this.#mac) ? undefined : conflict
  }

  /** Node's error of a file descriptor, as the kernel's of a link. */
  #checked<T>(call: () => T): T {
    try {
      return call()
    } catch (error) {
      if (!(error instanceof Error && 'errno' in error && typeof error.errno === 'number')) throw error
      throw new SystemError(`probe on link ${this.#link.index}`, Math.abs(error.errno))
    }
  }
}
