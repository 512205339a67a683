/**
 * Removing a link without waiting for all of it. The kernel takes a link out of its namespace, tells everybody with a
 * RTM_DELLINK message, and then waits 16-24 ms for its own readers (RCU) before it acknowledges the request. From the message
 * on name, addresses and MAC are free.
 */
import { closeSync, read, write } from 'node:fs'
import { constants } from 'node:os'
import { promisify } from 'node:util'
import { CniError } from '../cni/errors.ts'
import { isErrno } from '../disk.ts'
import { SystemError } from './libc.ts'
import { deletedIndex, deleteLinkMessage, findLink } from './links.ts'
import { type Answer, type NetlinkSocket, splitAnswers, verdictOf } from './netlink.ts'
import { insideNetns, type Netns } from './netns.ts'
import { openNetlink } from './sockets.ts'

const writeAsync = promisify(write)
const readAsync = promisify(read)
/** As netlink's: the kernel cuts longer answers silently. */
const receiveBytes = 32 * 1024
const sequence = 1
const what = 'remove link'
/** RTMGRP_LINK of linux/rtnetlink.h. */
const linkGroup = 1

/** The next datagram; undefined when some were lost. */
async function receive(fd: number, buffer: Buffer): Promise<Buffer | undefined> {
  try {
    const { bytesRead } = await readAsync(fd, buffer, 0, buffer.length, null)
    return buffer.subarray(0, bytesRead)
  } catch (error) {
    if (isErrno(error, 'ENOBUFS')) return undefined
    if (isErrno(error, 'EAGAIN')) throw new SystemError(what, constants.errno.EAGAIN, 'no answer in time')
    throw error
  }
}

/** What is too long to be one of those that are waited for is somebody else's. */
function answersIn(bytes: Buffer | undefined): Answer[] {
  try {
    return [...splitAnswers(bytes ?? Buffer.alloc(0))]
  } catch (error) {
    if (error instanceof CniError) return []
    throw error
  }
}

/** Waits until the link is gone, or the kernel refuses. What a pod itself has announced is looked at before it is believed. */
async function untilGone(fd: number, socket: NetlinkSocket, index: number): Promise<void> {
  const buffer = Buffer.allocUnsafe(receiveBytes)
  for (;;) {
    const bytes = await receive(fd, buffer)
    // More was announced than there was room for: what we wait for may have been among it.
    if (bytes === undefined && findLink(socket, { index }) === undefined) return
    for (const answer of answersIn(bytes)) {
      const verdict = verdictOf(what, answer, sequence)
      if (verdict instanceof SystemError && verdict.code !== 'ENODEV') throw verdict
      const isSaidGone = verdict !== undefined || deletedIndex(answer) === index
      if (isSaidGone && findLink(socket, { index }) === undefined) return
    }
  }
}

/**
 * Removes the link with this index from the namespace, in which `socket` was opened. Throws SystemError. The kernel's part that
 * nobody needs to wait for goes on in a thread; `onChange` hears when that begins, and when it has ended.
 */
export async function removeLinkEarly(
  netns: Netns,
  socket: NetlinkSocket,
  index: number,
  onChange: (isUnderWay: boolean) => void,
): Promise<void> {
  const fd = insideNetns(netns, () => openNetlink(linkGroup))
  onChange(true)
  const message = deleteLinkMessage(index).finish(sequence, true)
  const sent = writeAsync(fd, message, 0, message.length, null)
  const gone = untilGone(fd, socket, index)
  void Promise.allSettled([sent, gone]).then(() => {
    closeSync(fd)
    onChange(false)
  })
  // A request that cannot be sent has no answer.
  await Promise.race([gone, sent.then(() => gone)])
}
