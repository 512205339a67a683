/**
 * A process that waits for a lock, says when it has it, and keeps it until it is killed, for hand-over.test.ts:
 * `<kind> <lock>`. It writes `waiting`, and then the time in nanoseconds.
 */
import { writeSync } from 'node:fs'
import { withLock } from '../../ipam/lock/index.ts'
import { sleep } from '../../ipam/lock/wait.ts'

const [kind, path = ''] = process.argv.slice(2)
const inside = (): never => {
  writeSync(1, `${process.hrtime.bigint()}\n`)
  for (;;) sleep(60_000)
}
writeSync(1, 'waiting\n')
withLock(path, inside, { kind: kind === 'shared' ? 'shared' : 'kernel', waitMs: 60_000 })
