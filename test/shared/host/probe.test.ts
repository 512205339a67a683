import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { expect, it, onTestFinished } from 'vitest'
import { formatIp } from '../../../shared/address.ts'
import { probeFrame } from '../../../shared/host/frames.ts'
import { SystemError } from '../../../shared/host/libc.ts'
import { macBytes } from '../../../shared/host/links.ts'
import { probe } from '../../../shared/host/probe.ts'
import { ip } from '../addresses.ts'
import {
  addAddress,
  cable,
  describeInNamespaces,
  ip as ipCommand,
  newNamespace,
  opened,
  stranger,
  type TestLink,
  up,
} from './namespaces.ts'
import { advertisement, arp, solicitation } from './wire.ts'

const other = '02:00:00:00:00:99'
const v4 = '10.0.0.7'
const v6 = 'fd00::12:3456'

/** What a call may take longer than it was given, on a machine that does other things as well. */
const graceMs = 300

/** Asks, and says in words what was answered and how long it took. */
function ask(
  namespace: string,
  link: TestLink,
  addresses: string[],
  waitMaxMs = 200,
): { found: string[]; tookMs: number } {
  const netns = opened(namespace)
  const start = performance.now()
  const conflicts = probe(netns, link, addresses.map(ip), waitMaxMs)
  const tookMs = performance.now() - start
  return { found: conflicts.map((conflict) => `${formatIp(conflict.ip)} ${conflict.mac}`), tookMs }
}

function refusalOf(namespace: string, link: TestLink, waitMaxMs?: number): string {
  try {
    return `found ${ask(namespace, link, [v4, v6], waitMaxMs).found}`
  } catch (error) {
    if (error instanceof SystemError) return `${error.code}: ${error.message}`
    throw error
  }
}

const nextDescriptor = (): number => {
  const fd = openSync('/dev/null', 'r')
  closeSync(fd)
  return fd
}

describeInNamespaces('probe() on a cable', () => {
  it('finds nothing when the addresses are free, waits as long as it may, and keeps nothing open', () => {
    const { here, near } = cable()
    const netns = opened(here)
    probe(netns, near, [ip(v4)], 1)
    const before = nextDescriptor()
    const start = performance.now()
    expect(probe(netns, near, [ip(v4), ip(v6)])).toEqual([])
    const tookMs = performance.now() - start
    expect(tookMs).toBeGreaterThanOrEqual(175)
    expect(tookMs).toBeLessThan(200 + graceMs)
    expect(nextDescriptor()).toBe(before)
  })

  it('asks nobody when there is no address', () => {
    const { here, near } = cable()
    const { found, tookMs } = ask(here, near, [])
    expect(found).toEqual([])
    expect(tookMs).toBeLessThan(50)
  })

  it.each([v4, v6])('names the MAC that has %s, at once', (address) => {
    const { here, there, near, far } = cable()
    addAddress(there, 'far', `${address}/${address === v4 ? 24 : 64}`)
    const { found, tookMs } = ask(here, near, [address], 2000)
    expect(found).toEqual([`${address} ${far.mac}`])
    expect(tookMs).toBeLessThan(1000)
  })

  it('tells taken ones of many from the free ones, in their order', () => {
    const { here, there, near, far } = cable()
    for (const taken of ['fd00::8/64', '10.0.0.8/24', 'fd00::a/64']) addAddress(there, 'far', taken)
    const asked = ['10.0.0.7', 'fd00::a', '10.0.0.8', 'fd00::7', 'fd00::8', '10.0.0.9']
    const { found, tookMs } = ask(here, near, asked)
    expect(found).toEqual(['fd00::a', '10.0.0.8', 'fd00::8'].map((address) => `${address} ${far.mac}`))
    expect(tookMs).toBeLessThan(200 + graceMs)
  })

  it('sends two probes an address, half of the time apart, and not a byte else', async () => {
    const { here, there, near, far } = cable()
    const { heard } = await stranger(there, far, {})
    expect(ask(here, near, [v4, v6]).found).toEqual([])
    const frames = await heard()
    const wanted = [v4, v6].map((address) => Buffer.from(probeFrame(macBytes(near.mac), ip(address))).toString('hex'))
    // frames.test.ts holds these bytes against the RFCs, and the kernel answered to them above.
    expect(frames.map(({ frame }) => frame)).toEqual([...wanted, ...wanted])
    const [first, , second] = frames.map(({ atMs }) => atMs)
    expect((second ?? 0) - (first ?? 0)).toBeGreaterThan(80)
    expect((second ?? 0) - (first ?? 0)).toBeLessThan(100 + graceMs)
  })

  it('asks again for those only that nobody has answered for', async () => {
    const { here, there, near, far } = cable()
    const { heard } = await stranger(there, far, { answers: [hex(advertisement({ from: other, target: v6 }))] })
    expect(ask(here, near, [v4, v6]).found).toEqual([`${v6} ${other}`])
    const probes = [v4, v6, v4].map((address) => hex(probeFrame(macBytes(near.mac), ip(address))))
    expect((await heard()).map(({ frame }) => frame)).toEqual(probes)
  })
})

const hex = (frame: Buffer): string => frame.toString('hex')

describeInNamespaces('probe() beside a stranger', () => {
  it.each<[string, Buffer, string]>([
    ['an ARP announcement', arp({ operation: 1, from: other, sender: v4, target: v4 }), v4],
    ["another host's ARP probe", arp({ operation: 1, from: other, sender: '0.0.0.0', target: v4 }), v4],
    ['a neighbour advertisement', advertisement({ from: other, target: v6 }), v6],
    ["another node's detection of duplicates", solicitation({ from: other, source: '::', target: v6 }), v6],
  ])('hears %s', async (_, frame, address) => {
    const { here, there, near, far } = cable()
    await stranger(there, far, { answers: [hex(frame)], listenMs: 300 })
    expect(ask(here, near, [address], 2000).found).toEqual([`${address} ${other}`])
  })

  it('does not take its own probes for a conflict when they come back, nor anything of its own MAC', async () => {
    const { here, there, near, far } = cable()
    const reflected = [v4, v6].map((address) => hex(probeFrame(macBytes(near.mac), ip(address))))
    const own = arp({ operation: 2, from: near.mac, sender: v4, target: '0.0.0.0' })
    const announced = advertisement({ from: near.mac, target: v6 })
    await stranger(there, far, { answers: [...reflected, hex(own), hex(announced)] })
    expect(ask(here, near, [v4, v6]).found).toEqual([])
  })

  it('skips malformed frames and those for other addresses, and hears the true one after them', async () => {
    const { here, there, near, far } = cable()
    const reply = arp({ operation: 2, from: other, sender: v4, target: '0.0.0.0' })
    const advertised = advertisement({ from: other, target: v6 })
    const cut = [reply.subarray(0, 20), reply.subarray(0, 41), advertised.subarray(0, 20), advertised.subarray(0, 77)]
    const elsewhere = arp({ operation: 2, from: other, sender: '10.0.0.8', target: '0.0.0.0' })
    const routed = advertisement({ from: other, target: v6, hopLimit: 64 })
    const jumbo = Buffer.concat([advertised, Buffer.alloc(1400)])
    const junk = [...cut, elsewhere, routed, jumbo.fill(0xff, 54)].map(hex)
    const first = await stranger(there, far, { answers: junk, listenMs: 300 })
    expect(ask(here, near, [v4, v6]).found).toEqual([])
    await first.heard()
    await stranger(there, far, { answers: [...junk, hex(reply), hex(advertised)], listenMs: 300 })
    expect(ask(here, near, [v4, v6], 2000).found).toEqual([`${v4} ${other}`, `${v6} ${other}`])
  })

  it('does not wait longer when it is flooded', async () => {
    const { here, there, near, far } = cable()
    const elsewhere = arp({ operation: 2, from: other, sender: '10.0.0.8', target: '0.0.0.0' })
    const flood = Array<string>(100).fill(hex(elsewhere))
    await stranger(there, far, { answers: flood, flood: true, listenMs: 3000 })
    const { found, tookMs } = ask(here, near, [v4, v6])
    expect(found).toEqual([])
    expect(tookMs).toBeLessThan(200 + graceMs)
  })
})

describeInNamespaces('probe() on a macvlan', () => {
  it.each(['bridge', 'private', 'vepa'])(
    'hears who is beyond the master in mode %s, and its sibling in mode bridge only',
    (mode) => {
      const { here, there, far } = cable()
      addAddress(there, 'far', '10.0.0.8/24')
      addAddress(there, 'far', 'fd00::8/64')
      const [pod, sibling] = [newNamespace(), newNamespace()]
      for (const [namespace, name] of [
        [pod, 'mv0'],
        [sibling, 'mv1'],
      ] as const) {
        ipCommand('-n', here, 'link', 'add', name, 'link', 'near', 'netns', namespace, 'type', 'macvlan', 'mode', mode)
      }
      const link = up(pod, 'mv0')
      const { mac } = up(sibling, 'mv1')
      addAddress(sibling, 'mv1', `${v4}/24`)
      addAddress(sibling, 'mv1', `${v6}/64`)
      const beyond = [`10.0.0.8 ${far.mac}`, `fd00::8 ${far.mac}`]
      const beside = mode === 'bridge' ? [`${v4} ${mac}`, `${v6} ${mac}`] : []
      expect(ask(pod, link, ['10.0.0.8', 'fd00::8', v4, v6]).found).toEqual([...beyond, ...beside])
    },
  )

  it("hears answers and others' probes to groups that only it has joined", async () => {
    const { here, there, far } = cable()
    addAddress(there, 'far', 'fd00::8/64')
    const pod = newNamespace()
    // As a runtime leaves a pod without IPv6: nobody but the probe asks the macvlan for multicast.
    ipCommand('netns', 'exec', pod, 'sh', '-c', 'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6')
    ipCommand('-n', here, 'link', 'add', 'mv0', 'link', 'near', 'netns', pod, 'type', 'macvlan', 'mode', 'bridge')
    const link = up(pod, 'mv0')
    expect(ask(pod, link, ['fd00::8']).found).toEqual([`fd00::8 ${far.mac}`])
    const detection = solicitation({ from: other, source: '::', target: v6 })
    await stranger(there, far, { answers: [hex(detection)], listenMs: 300 })
    expect(ask(pod, link, [v6], 2000).found).toEqual([`${v6} ${other}`])
  })
})

describeInNamespaces('probe() without a wire', () => {
  it('refuses with ENETDOWN when the link is down', () => {
    const { here, near } = cable()
    ipCommand('-n', here, 'link', 'set', 'near', 'down')
    expect(refusalOf(here, near)).toBe(`ENETDOWN: probe on link ${near.index}: the link is down (ENETDOWN)`)
  })

  it('refuses with ENETDOWN when the link has no carrier', () => {
    const { here, there, near } = cable()
    ipCommand('-n', there, 'link', 'set', 'far', 'down')
    expect(refusalOf(here, near)).toBe(`ENETDOWN: probe on link ${near.index}: the link has no carrier (ENETDOWN)`)
  })

  it('refuses with ENODEV when the link is gone', () => {
    const { here, near } = cable()
    ipCommand('-n', here, 'link', 'del', 'near')
    expect(refusalOf(here, near)).toBe(`ENODEV: probe on link ${near.index}: ENODEV`)
  })

  it.each([
    ['itself goes down', 'here', 'near', 'down'],
    ['is removed', 'here', 'near', 'del'],
    ['loses its carrier', 'there', 'far', 'down'],
  ] as const)('refuses when the link %s meanwhile', async (_, where, name, change) => {
    const wire = cable()
    const args = change === 'del' ? `del ${name}` : `set ${name} down`
    const child = spawn('sh', ['-c', `sleep 0.1; ip -n ${wire[where]} link ${args}`], { timeout: 5000 })
    const ended = once(child, 'close')
    onTestFinished(async () => void (await ended))
    expect(refusalOf(wire.here, wire.near, 400)).toMatch(/^ENETDOWN: probe on link/)
  })
})
