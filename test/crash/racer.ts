/**
 * A process that takes a lock again and again until it is killed, for lock.test.ts, and notes in a log that all share when
 * it is inside: `<kind> <lock> <log> <id> [<host> <silentMaxMs>]`, the last two to play a host of its own.
 */
import { openSync } from 'node:fs'
import { withLock } from '../../ipam/lock/index.ts'
import { sleep } from '../../ipam/lock/wait.ts'
import { ownIdentity } from '../../shared/host/process.ts'
import { note } from './race.ts'

const [kind, path = '', logPath = '', id = '', host = '', silentMaxMs = ''] = process.argv.slice(2)
const log = openSync(logPath, 'a')
const others = { host, machine: host, bootId: host, pidNamespace: host }
const options = {
  kind: kind === 'shared' ? 'shared' : 'kernel',
  waitMs: 60_000,
  ...(host === '' ? {} : { self: { ...ownIdentity(), ...others }, silentMaxMs: Number(silentMaxMs) }),
} as const

/** Sometimes long enough for others to come in between, if the lock let them. */
const dawdle = (): void => {
  if (Math.random() < 0.3) sleep(0.2)
}

for (;;) {
  const inside = (): void => {
    note(log, '+', Number(id))
    dawdle()
    note(log, '-', Number(id))
  }
  withLock(path, inside, options)
  dawdle()
}
