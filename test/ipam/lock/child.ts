/**
 * A process that uses a lock, for the lock's tests: `count <kind> <lock> <file> <rounds>` adds rounds to the number in a
 * file; `replace` does the same and puts a new file in the lock's place before it lets go; `hold <kind> <lock>` says that it
 * has the lock and keeps it until it is killed; `elsewhere <kind> <lock> <ms>` does so as another host, for that long.
 */
import { readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { lockKindOf, withLock } from '../../../ipam/lock/index.ts'
import { sleep } from '../../../ipam/lock/wait.ts'
import { anotherHost } from './hosts.ts'

const [task, named, lockPath = '', file = '', rounds = '0'] = process.argv.slice(2)
const kind = named === 'kernel' || named === 'shared' ? named : lockKindOf(lockPath)

if (task === 'hold' || task === 'elsewhere') {
  const hold = (): void => {
    writeSync(1, 'held\n')
    sleep(task === 'hold' ? 60_000 : Number(file))
  }
  withLock(lockPath, hold, { kind, ...(task === 'hold' ? {} : { self: anotherHost }) })
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
