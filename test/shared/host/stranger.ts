/** A neighbour on the wire, for probe.test.ts: `stranger <link index> <part>`, with the part as in namespaces.ts. */
import { readSync, writeSync } from 'node:fs'
import { isErrno } from '../../../shared/disk.ts'
import { etherType } from '../../../shared/host/frames.ts'
import { openPacket, setPatience } from '../../../shared/host/sockets.ts'
import type { Heard, Part } from './namespaces.ts'

const [index = '', text = '{}'] = process.argv.slice(2)
const { answers = [], flood = false, listenMs = 500 }: Part = JSON.parse(text)
const frames = answers.map((answer) => Buffer.from(answer, 'hex'))

// A veth takes every multicast frame, without being asked.
const fd = openPacket(Number(index), etherType.ALL, [])
const buffer = Buffer.alloc(2048)
const heard: Heard[] = []
writeSync(1, 'ready\n')
const end = performance.now() + listenMs
for (let left = listenMs; left > 0; left = end - performance.now()) {
  setPatience(fd, 'receive', left)
  try {
    const length = readSync(fd, buffer)
    heard.push({ frame: buffer.toString('hex', 0, length), atMs: performance.now() })
  } catch (error) {
    if (!isErrno(error, 'EAGAIN')) throw error
    break
  }
  if (heard.length > 1) continue
  do {
    for (const frame of frames) writeSync(fd, frame)
  } while (flood && performance.now() < end)
}
writeSync(1, JSON.stringify(heard))
