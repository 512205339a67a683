/** Holders of locks as a test needs them: here and elsewhere, alive and dead. */
import { writeFileSync } from 'node:fs'
import { type Holder, renderHolder } from '../../../ipam/lock/holder.ts'
import { SharedLock } from '../../../ipam/lock/shared.ts'
import { isErrno } from '../../../shared/disk.ts'
import { ownIdentity, type ProcessIdentity } from '../../../shared/host/process.ts'

export const self = ownIdentity()

export const anotherHost: ProcessIdentity = {
  host: 'another',
  machine: 'ffffffffffffffffffffffffffffffff',
  bootId: '00000000-0000-4000-8000-000000000000',
  pidNamespace: 'pid:[1]',
  pid: 17,
  startTime: '4711',
}

/** Above the largest number that Linux gives to a process. */
export const noPid = 2 ** 22 + 1

export const holderOf = (identity: ProcessIdentity, nonce: string): Holder => ({
  ...identity,
  nonce: nonce.padEnd(16, '-'),
  since: '2026-01-02T03:04:05.678Z',
})

/** Puts a lock's file, or a token, in place as that process would have. */
export function plant(path: string, identity: ProcessIdentity, nonce: string): Holder {
  const holder = holderOf(identity, nonce)
  writeFileSync(path, renderHolder(holder), { mode: 0o600 })
  return holder
}

/** A try that fails makes a waiter look. */
function tryToTake(waiter: SharedLock): void {
  try {
    waiter.mkdirSync()
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error
  }
}

/** What another host does that took the holder for dead. */
export function steal(path: string): SharedLock {
  const thief = new SharedLock(path, { self: anotherHost, silentMaxMs: 0 })
  for (let look = 0; look < 2; look++) {
    tryToTake(thief)
    thief.statSync()
  }
  thief.rmdirSync()
  thief.mkdirSync()
  return thief
}
