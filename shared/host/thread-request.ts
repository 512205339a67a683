/**
 * Netlink requests that the kernel takes long for (a link moved between namespaces, 16-60 ms; a message from a PF to its VF): made
 * in a thread, so that a process that serves others goes on meanwhile.
 */
import { closeSync, readSync, write } from 'node:fs'
import { inThread } from '../in-thread.ts'
import { SystemError } from './libc.ts'
import { type Answer, type Message, splitAnswers, verdictOf } from './netlink.ts'
import { insideNetns, type Netns } from './netns.ts'
import { openNetlink } from './sockets.ts'

/** A PF describes each of its VFs in some 200 bytes, older kernels in 350, and may have 256 of them. What is not used costs nothing. */
const receiveBytes = 256 * 1024
/** What is received, one answer at a time: reading is synchronous, so one buffer serves all. Made when it is first needed. */
let received: Buffer | undefined
const sequence = 1

/** As requestInThread, over a socket that hears nobody else. */
export async function requestOver(fd: number, what: string, message: Message): Promise<Answer[]> {
  const bytes = message.finish(sequence, true)
  await inThread((done) => write(fd, bytes, 0, bytes.length, null, done))
  received ??= Buffer.allocUnsafeSlow(receiveBytes)
  const answers: Answer[] = []
  for (;;) {
    // Requests are answered while they are sent: there is something to read each time, and nobody waits for it.
    const bytesRead = readSync(fd, received)
    for (const answer of splitAnswers(received.subarray(0, bytesRead))) {
      const verdict = verdictOf(what, answer, sequence)
      if (verdict instanceof SystemError) throw verdict
      if (verdict === 'done') return answers
      if (answer.sequence === sequence) answers.push({ ...answer, body: Buffer.from(answer.body) })
    }
  }
}

/** Makes a request in the namespace, and returns its answers. Throws SystemError when the kernel refuses it. */
export async function requestInThread(netns: Netns, what: string, message: Message): Promise<Answer[]> {
  const fd = insideNetns(netns, () => openNetlink())
  try {
    return await requestOver(fd, what, message)
  } finally {
    closeSync(fd)
  }
}
