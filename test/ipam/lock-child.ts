/**
 * A process that uses the lock, for lock.test.ts: `count <lock> <file> <rounds>` adds rounds to the number in a file;
 * `replace` does the same and puts a new file in the lock's place before it lets go; `hold <lock>` says that it has the
 * lock and keeps it until it is killed.
 */
import { readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { withLock } from '../../ipam/lock.ts'

const sleep = (ms: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

const [task, lockPath = '', file = '', rounds = '0'] = process.argv.slice(2)

if (task !== 'hold') {
  for (let round = 0; round < Number(rounds); round++) {
    withLock(lockPath, () => {
      const before = Number(readFileSync(file, 'utf8'))
      // Long enough for everybody else to read the same number, if the lock let them in.
      sleep(0.2)
      writeFileSync(file, String(before + 1))
      if (task !== 'replace') return
      writeFileSync(`${lockPath}.${process.pid}`, '')
      renameSync(`${lockPath}.${process.pid}`, lockPath)
    })
  }
} else {
  withLock(lockPath, () => {
    writeSync(1, 'held\n')
    sleep(60_000)
  })
}
