/**
 * Calls that run at the same time, and calls that are killed at a random moment: no address is given twice, and a DEL
 * afterwards leaves neither lease nor link.
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Host, type Pod } from '../e2e/host.ts'

const pods = 20
/** Rounds of the killing test; BERTH_KILL_ROUNDS asks for more. */
const rounds = Number(process.env.BERTH_KILL_ROUNDS ?? 3)

interface Ended {
  readonly exitCode: number | null
  readonly stdout: string
}

async function ended(child: ChildProcess): Promise<Ended> {
  if (child.stdout === null || child.stderr === null) throw new Error('the child has no pipes')
  const [stdout] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { exitCode: child.exitCode, stdout }
}

const wide = (host: Host): object =>
  host.config({ ipam: { type: 'berth-ipam', range: '10.70.0.0/24', ipRanges: [{ range: 'fd00:70::/64' }] } })

const addressOf = ({ stdout }: Ended): string => JSON.parse(stdout).ips[0].address

test('ADD gives different addresses when twenty containers are attached at once', async () => {
  using host = new Host()
  const containers = Array.from({ length: pods }, (_, index) => host.pod(`ctr-${index}`))
  const answers = await Promise.all(containers.map((pod) => ended(host.start('ADD', pod, wide(host)))))
  expect(answers.map(({ exitCode }) => exitCode)).toEqual(new Array(pods).fill(0))
  expect(new Set(answers.map(addressOf)).size).toBe(pods)
  const removed = await Promise.all(containers.map((pod) => ended(host.start('DEL', pod, wide(host)))))
  expect(removed).toEqual(new Array(pods).fill({ exitCode: 0, stdout: '' }))
})

/** A start-up takes some 20 ms before the program's own first line; an ADD alone ends after 30, in a crowd much later. */
const killAfterMs = (): number => 15 + Math.random() * 400

async function addAndKill(host: Host, pod: Pod): Promise<Ended | undefined> {
  const child = host.start('ADD', pod, wide(host))
  const answer = ended(child)
  await pause(killAfterMs())
  const killed = child.kill('SIGKILL')
  const got = await answer
  return killed ? undefined : got
}

test('DEL leaves no lease and no link when the ADD was killed at a random moment', {
  timeout: rounds * 60_000,
}, async () => {
  let killed = 0
  for (let round = 0; round < rounds; round++) {
    using host = new Host()
    const containers = Array.from({ length: pods }, (_, index) => host.pod(`ctr-${index}`))
    const answers = await Promise.all(containers.map((pod) => addAndKill(host, pod)))
    const answered = answers.filter((answer) => answer !== undefined)
    expect(answered.map(({ exitCode }) => exitCode)).toEqual(answered.map(() => 0))
    killed += pods - answered.length
    expect(new Set(answered.map(addressOf)).size).toBe(answered.length)
    const removed = await Promise.all(containers.map((pod) => ended(host.start('DEL', pod, wide(host)))))
    expect(removed).toEqual(new Array(pods).fill({ exitCode: 0, stdout: '' }))
    expect(host.leftovers()).toEqual([])
  }
  process.stdout.write(
    `kill -9: ${killed} of ${rounds * pods} ADDs were killed before they answered; nothing was left\n`,
  )
  expect(killed).toBeGreaterThan(0)
})

test('an ADD that was killed can be repeated without a DEL when the runtime retries', async () => {
  using host = new Host()
  for (let tries = 0; tries < 5; tries++) {
    const pod = host.pod(`again-${tries}`)
    await addAndKill(host, pod)
    const again = host.call('ADD', pod, wide(host))
    // Either nothing or all of it was there; a link that was made already is a conflict, and says so.
    if (again.exitCode !== 0) expect(JSON.parse(again.stdout)).toMatchObject({ code: 103 })
    expect(host.call('DEL', pod, wide(host))).toMatchObject({ exitCode: 0 })
    expect(host.leftovers()).toEqual([])
  }
})

test('the DEL of an attachment waits for its ADD when a runtime gave up on it, and then leaves nothing', async () => {
  using host = new Host()
  for (let tries = 0; tries < 10; tries++) {
    const pod = host.pod(`given-up-${tries}`)
    const adding = ended(host.start('ADD', pod, wide(host)))
    await pause(Math.random() * 40)
    const removing = ended(host.start('DEL', pod, wide(host)))
    const [added, removed] = await Promise.all([adding, removing])
    expect([added.exitCode, removed]).toEqual([0, { exitCode: 0, stdout: '' }])
    // Whoever came first: a link without its lease, or a lease without its link, is never seen.
    expect([host.linksOf(pod.name).length, host.leaseFiles().length]).toEqual(
      host.linksOf(pod.name).length > 0 ? [1, 3] : [0, 0],
    )
    expect(host.call('DEL', pod, wide(host))).toMatchObject({ exitCode: 0 })
    expect(host.leftovers()).toEqual([])
  }
})
