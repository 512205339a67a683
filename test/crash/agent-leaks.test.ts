/**
 * An agent that serves for long has what it had: descriptors, threads and memory. BERTH_TEST_LONG=1 is ten thousand attachments.
 */
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { callAgent } from '../agent/client.ts'
import { fetchOver } from '../agent/http.ts'
import { Agent } from '../e2e/agent.ts'
import { Host, type Pod } from '../e2e/host.ts'

const lives = process.env.BERTH_TEST_LONG === '1' ? 10_000 : 1000
const podCount = 8
const residentMaxKiB = 90 * 1024
/** HTTP and prom-client are code that is mapped, and a page each 16 KiB of it that is run. */
const watchedMaxKiB = 100 * 1024
/** What V8 has not collected yet goes up and down by some MiB. */
const growthMaxKiB = 8 * 1024

interface Held {
  readonly descriptors: number
  readonly threads: number
  readonly residentKiB: number
  /** Without the pages of files, which come and go as the machine has room. */
  readonly ownKiB: number
}

function heldBy({ pid }: Agent): Held {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const number = (name: string): number => Number(new RegExp(`^${name}:\\s+([0-9]+)`, 'm').exec(status)?.[1])
  const descriptors = readdirSync(`/proc/${pid}/fd`).length
  return { descriptors, threads: number('Threads'), residentKiB: number('VmRSS'), ownKiB: number('RssAnon') }
}

/** A client that says half of something and goes. */
async function halfACall(path: string): Promise<void> {
  const socket = connect(path)
  await once(socket, 'data')
  socket.write(Buffer.from([200, 0, 0, 0, 100, 0]))
  socket.destroy()
  await once(socket, 'close')
}

async function scrape(metrics: string | undefined): Promise<void> {
  if (metrics === undefined) return
  for (const page of ['/metrics', '/healthz', '/readyz'])
    expect(await fetchOver(metrics, page)).toMatchObject({ status: 200 })
}

test.each([
  ['', residentMaxKiB],
  [' while it serves metrics', watchedMaxKiB],
])(
  'an agent has no more descriptors, threads and memory after many calls%s',
  { timeout: 900_000 },
  async (how, maxKiB) => {
    using host = new Host()
    const metrics = how === '' ? undefined : `${host.dataDir}/metrics.sock`
    using agent = new Agent(host, metrics === undefined ? [] : ['--metrics-address', metrics])
    const pods = Array.from({ length: podCount }, () => host.pod())
    const ipam = { type: 'berth-ipam', ipRanges: [{ range: '10.85.0.0/16' }, { range: 'fd00:85::/64' }] }
    const call = (verb: string, pod: Pod, more: object = {}) =>
      callAgent(agent.socket, {
        name: 'berth-macvlan',
        environment: Object.fromEntries(
          Object.entries(host.environment(verb, pod)).filter(([name]) => name.startsWith('CNI_')),
        ),
        stdin: JSON.stringify(host.config({ ipam, ...more })),
      })
    const serve = async (count: number): Promise<void> => {
      let left = count
      const one = async (pod: Pod): Promise<void> => {
        while (left-- > 0) {
          for (const verb of ['ADD', 'DEL'])
            expect(await call(verb, pod)).toMatchObject({ exitCode: 0, declined: false })
          if (left % 10 !== 0) continue
          await scrape(metrics)
          expect(await call('ADD', pod, { mtu: 65_000 })).toMatchObject({ exitCode: 1 })
          expect(await call('ADD', pod, { ipam: { ...ipam, conflictCheck: true } })).toMatchObject({ declined: true })
          await halfACall(agent.socket)
        }
      }
      await Promise.all(pods.map(one))
      // What the kernel does behind the last answers.
      await pause(200)
    }
    await serve(lives / 4)
    const early = heldBy(agent)
    await serve((lives * 3) / 4)
    const late = heldBy(agent)
    process.stdout.write(
      `agent after ${lives} attachments${how}: ${JSON.stringify(late)}, after a quarter ${JSON.stringify(early)}\n`,
    )
    expect(late.descriptors).toBeLessThanOrEqual(early.descriptors)
    expect(late.threads).toBeLessThanOrEqual(early.threads)
    expect(late.ownKiB).toBeLessThan(early.ownKiB + growthMaxKiB)
    expect(late.residentKiB).toBeLessThan(maxKiB)
  },
)
