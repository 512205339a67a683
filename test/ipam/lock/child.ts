/**
 * A process that uses a lock, for the lock's tests: `count <kind> <lock> <file> <rounds>` adds rounds to the number in a
 * file; `replace` does the same and puts a new file in the lock's place before it lets go; `hold <kind> <lock>` says that it
 * has the lock and keeps it until it is killed. As another host, for so many milliseconds: `elsewhere <kind> <lock> <ms>` does
 * so too, `works` goes through many records meanwhile, and `waits` for something else; `leaves` ends with the lock in its hands.
 */
import { readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { checkHeld } from '../../../ipam/lock/held.ts'
import { holdLock, lockKindOf, withLock } from '../../../ipam/lock/index.ts'
import { sleep } from '../../../ipam/lock/wait.ts'
import { monotonicMs } from '../../../shared/clock.ts'
import { anotherHost } from './hosts.ts'

const [task, named, lockPath = '', file = '', rounds = '0'] = process.argv.slice(2)
const kind = named === 'kernel' || named === 'shared' ? named : lockKindOf(lockPath)
const elsewhere = { kind, self: anotherHost }
const say = (): void => void writeSync(1, 'held\n')

if (task === 'hold') {
  withLock(lockPath, () => [say(), sleep(60_000)], { kind })
} else if (task === 'elsewhere') {
  withLock(lockPath, () => [say(), sleep(Number(file))], elsewhere)
} else if (task === 'works') {
  const work = (): void => {
    say()
    for (const endMs = monotonicMs() + Number(file); monotonicMs() < endMs; sleep(1)) checkHeld()
  }
  withLock(lockPath, work, elsewhere)
} else if (task === 'waits') {
  using _held = holdLock(lockPath, elsewhere)
  say()
  await pause(Number(file))
} else if (task === 'leaves') {
  holdLock(lockPath, elsewhere)
  say()
} else {
  const round = (): void => {
    const before = Number(readFileSync(file, 'utf8'))
    // Long enough for everybody else to read the same number, if the lock let them in.
    sleep(0.2)
    writeFileSync(file, String(before + 1))
    if (task !== 'replace') return
    writeFileSync(`${lockPath}.${process.pid}`, '')
    renameSync(`${lockPath}.${process.pid}`, lockPath)
  }
  for (let done = 0; done < Number(rounds); done++) withLock(lockPath, round, { kind })
}
