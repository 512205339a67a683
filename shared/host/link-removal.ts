/**
 * Removing a link without waiting for all of it. The kernel takes a link out of its namespace, tells everybody with a
 * RTM_DELLINK message, and then waits 16-24 ms for its own readers (RCU) before it acknowledges the request. From the message
 * on name, addresses and MAC are free.
 */
import { closeSync, read } from 'node:fs'
import { promisify } from 'node:util'
import { CniError } from '../cni/errors.ts'
import { isErrno } from '../disk.ts'
import { SystemError } from './libc.ts'
import { deletedIndex, deleteLinkMessage, findLink } from './links.ts'
import { type Answer, type NetlinkSocket, splitAnswers } from './netlink.ts'
import { insideNetns, type Netns } from './netns.ts'
import { openNetlink } from './sockets.ts'
import { requestOver } from './thread-request.ts'

const readAsync = promisify(read)
/** As netlink's: the kernel cuts longer answers silently. */
const receiveBytes = 32 * 1024
/** Buffers that nobody receives into now: a node that removes many links would else have thrown many away. */
const idle: Buffer[] = []
const idleMaxBuffers = 16
/** RTMGRP_LINK of linux/rtnetlink.h. */
const linkGroup = 1

/** The next announcements; undefined when some were lost, none when none came in a while. */
async function receive(fd: number, buffer: Buffer): Promise<Answer[] | undefined> {
  try {
    const { bytesRead } = await readAsync(fd, buffer, 0, buffer.length, null)
    return [...splitAnswers(buffer.subarray(0, bytesRead))]
  } catch (error) {
    if (isErrno(error, 'ENOBUFS')) return undefined
    // What cannot be read is not the kernel's.
    if (isErrno(error, 'EAGAIN') || error instanceof CniError) return []
    throw error
  }
}

/** Waits until the link is gone, or nobody waits any more. A pod may announce what it likes: the kernel is asked each time. */
async function untilAnnounced(fd: number, socket: NetlinkSocket, index: number, isOver: () => boolean): Promise<void> {
  const buffer = idle.pop() ?? Buffer.allocUnsafeSlow(receiveBytes)
  try {
    while (!isOver()) {
      const answers = await receive(fd, buffer)
      const isSaidGone = answers === undefined || answers.some((answer) => deletedIndex(answer) === index)
      if (isSaidGone && !isOver() && findLink(socket, { index }) === undefined) return
    }
  } finally {
    if (idle.length < idleMaxBuffers) idle.push(buffer)
  }
}

/** Waits for the kernel's own word, over a socket that hears nobody else. */
async function untilDone(fd: number, index: number): Promise<void> {
  try {
    await requestOver(fd, 'remove link', deleteLinkMessage(index))
  } catch (error) {
    if (!(error instanceof SystemError) || error.code !== 'ENODEV') throw error
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
  const [listening, asking] = insideNetns(netns, () => [openNetlink(linkGroup), openNetlink()] as const)
  onChange(true)
  let isOver = false
  const announced = untilAnnounced(listening, socket, index, () => isOver)
  const done = untilDone(asking, index).finally(() => {
    isOver = true
  })
  void Promise.allSettled([announced, done]).then(() => {
    for (const fd of [listening, asking]) closeSync(fd)
    onChange(false)
  })
  await Promise.race([announced.then(() => (isOver ? done : undefined)), done])
}
