/** Fresh system randomness for names on the wire and in the kernel; never Math.random, never kept from an earlier start. */
import { openSync, readSync } from 'node:fs'

/** Read at once, used once. */
const poolBytes = 128
let pool = Buffer.alloc(0)

/** Open from its first use on. */
let device: number | undefined

function randomBytes(count: number): Buffer {
  // The device and not node:crypto: that module costs more to load than a claim costs altogether.
  if (pool.length < count) {
    device ??= openSync('/dev/urandom', 'r')
    pool = Buffer.alloc(poolBytes)
    readSync(device, pool)
  }
  const bytes = pool.subarray(0, count)
  pool = pool.subarray(count)
  return bytes
}

/** A unicast MAC that belongs to no manufacturer (IEEE 802, locally administered bit). */
export function randomMac(): string {
  const bytes = randomBytes(6)
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
}

const linkIndexFloor = 1 << 20
const linkIndexCount = 1 << 24

/**
 * An interface index far above those that the kernel counts up from 1. Chosen before the link exists, it can be
 * recorded before the link exists, and the link be found by it whatever it is called later.
 */
export function randomLinkIndex(): number {
  return linkIndexFloor + (randomBytes(4).readUInt32LE(0) % linkIndexCount)
}

const nonceBytes = 12

/** Sixteen characters that nobody had before, fit for a file's name. */
export const randomNonce = (): string => randomBytes(nonceBytes).toString('base64url')
