import { once } from 'node:events'
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Monitor } from '../../agent/monitor.ts'
import type { Facts } from '../../agent/watch.ts'
import { FileStore } from '../../ipam/ledger/file-store.ts'
import { tryFlock } from '../../shared/host/libc.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { fetchOver, samplesOf } from './http.ts'

const freshMs = 1000

let dataDir: string
let path: string
let facts: Facts
let monitor: Monitor
beforeEach(async () => {
  dataDir = temporaryDirectory()
  path = `${dataDir}/metrics`
  facts = { state: 'answering', reachable: true, waiting: 0, atWork: 0, removing: 0 }
  monitor = new Monitor(dataDir, () => facts)
  await monitor.open({ text: path, path })
})
afterEach(() => monitor.close())

const page = async (url: string): Promise<[number, string]> => {
  const { status, body } = await fetchOver(path, url)
  return [status, body]
}

test('Monitor serves metrics in the format of Prometheus, at a socket for its own user', async () => {
  const { status, type, body } = await fetchOver(path, '/metrics?x=y')
  expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8'])
  expect(samplesOf(body).get('berth_ready')).toBe(1)
  expect(statSync(path).mode & 0o777).toBe(0o600)
})

test('Monitor answers nothing else', async () => {
  expect(await page('/')).toEqual([404, 'there are /metrics, /healthz and /readyz\n'])
  expect((await fetchOver(path, '/metrics', 'POST')).status).toBe(405)
  expect(await fetchOver(path, '/healthz', 'HEAD')).toMatchObject({ status: 200, body: '' })
})

test('/readyz follows the agent', async () => {
  expect(await page('/readyz')).toEqual([200, 'ok\n'])
  facts = { ...facts, state: 'draining' }
  expect(await page('/readyz')).toEqual([503, 'draining\n'])
  facts = { ...facts, state: 'answering', reachable: false }
  expect(await page('/readyz')).toEqual([503, 'a socket is gone\n'])
})

test('/readyz is well while another process has the lock, and not when the lease directory is none, which no restart mends', async () => {
  expect(await page('/readyz')).toEqual([200, 'ok\n'])
  await pause(freshMs + 100)
  // A lock of another descriptor is another's.
  const held = openSync(`${dataDir}/lock`, constants.O_RDWR | constants.O_CREAT)
  expect(tryFlock(held)).toBe(true)
  expect(() => new FileStore(dataDir, { waitMs: 0 }).locked(() => undefined)).toThrow('Cannot lock')
  expect(await page('/readyz')).toEqual([200, 'ok\n'])
  closeSync(held)
  rmSync(`${dataDir}/leases`, { recursive: true })
  rmSync(`${dataDir}/lock`, { force: true })
  mkdirSync(`${dataDir}/lock`)
  await pause(freshMs + 100)
  const [status, why] = await page('/readyz')
  expect([status, why]).toEqual([503, expect.stringContaining('Cannot ')])
  expect(await page('/healthz')).toEqual([200, 'ok\n'])
})

test('/healthz is not well after the process has stood still', async () => {
  await pause(600)
  const end = Date.now() + 1800
  while (Date.now() < end);
  await pause(600)
  expect(await page('/healthz')).toEqual([503, expect.stringMatching(/the process was [0-9]+ ms late/)])
  await pause(1200)
  expect(await page('/healthz')).toEqual([200, 'ok\n'])
})

test('Monitor takes the place of a dead socket, and of nothing else', async () => {
  const file = `${dataDir}/file`
  writeFileSync(file, 'kept')
  const other = new Monitor(dataDir, () => facts)
  await expect(other.open({ text: file, path: file })).rejects.toThrow(
    `Cannot serve metrics at "${file}": there is something else of that name`,
  )
  await expect(other.open({ text: path, path })).rejects.toThrow('another process answers there')
  expect(await page('/readyz')).toEqual([200, 'ok\n'])
  // As a killed process leaves it.
  const dead = `${dataDir}/dead`
  const killed = createServer().listen(`${dead}.new`)
  await once(killed, 'listening')
  renameSync(`${dead}.new`, dead)
  killed.close()
  await other.open({ text: dead, path: dead })
  expect((await fetchOver(dead, '/readyz')).status).toBe(200)
  other.close()
  expect(existsSync(dead)).toBe(false)
})

test('Monitor says who has the port', async () => {
  const taken = createServer().listen({ port: 0, host: '127.0.0.1' })
  await once(taken, 'listening')
  const address = taken.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  const text = `127.0.0.1:${port}`
  await expect(monitor.open({ text, port, host: '127.0.0.1' })).rejects.toThrow(`Cannot serve metrics at "${text}": `)
  taken.close()
})

test('Monitor goes on when a caller says nothing, or nonsense', async () => {
  const silent = connect(path)
  const loud = connect(path)
  loud.on('error', () => undefined)
  loud.end('x'.repeat(100_000))
  expect(await page('/readyz')).toEqual([200, 'ok\n'])
  silent.destroy()
  loud.destroy()
})
