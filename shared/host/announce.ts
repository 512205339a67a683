/**
 * Telling the wire who has an address, where the kernel's own word was lost: it speaks when a link is set up, and a link of hardware has
 * its carrier only some time after that.
 */
import { closeSync, writeSync } from 'node:fs'
import type { Ip } from '../address.ts'
import { monotonicMs, pause } from '../clock.ts'
import { isErrno } from '../disk.ts'
import { log } from '../log.ts'
import { messageOf } from '../message.ts'
import { announcementFrame } from './frames.ts'
import { macBytes } from './links.ts'
import { findNetdev } from './netdevs.ts'
import { insideNetns, type Netns } from './netns.ts'
import { openPacket } from './sockets.ts'

const pollMs = 5

/** Waits until there is something at the other end of the cable; false when that takes longer than `maxMs`. */
export async function awaitCarrier(netns: Netns, index: number, maxMs: number): Promise<boolean> {
  const deadlineMs = monotonicMs() + maxMs
  for (;;) {
    if ((await findNetdev(netns, { index }))?.carrier === true) return true
    if (monotonicMs() >= deadlineMs) return false
    await pause(pollMs)
  }
}

/** Sends one announcement for each address. One that is lost, or that may not be sent, costs a neighbour some seconds, and nobody an attachment. */
export function announce(
  netns: Netns,
  link: { readonly index: number; readonly mac: string },
  ips: readonly Ip[],
): void {
  let fd: number | undefined
  try {
    // Protocol 0 sends and hears nothing.
    fd = insideNetns(netns, () => openPacket(link.index, 0, []))
    for (const ip of ips) writeSync(fd, announcementFrame(macBytes(link.mac), ip))
  } catch (error) {
    if (isErrno(error, 'ENETDOWN', 'ENOBUFS', 'ENXIO')) return
    log('warn', `cannot announce the addresses of link ${link.index}: ${messageOf(error)}`)
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}
