/** What a pod's annotation asks for: addresses, a MAC, a default route. */
import { expect } from 'vitest'
import { Truth } from '../truth.ts'
import { type Case, macvlan } from './case.ts'

const declared: Case = {
  title: '`ips` and `mac` with declared capabilities',
  run(rig) {
    rig.define({ fixed: macvlan('10.40.0.0/24', { capabilities: { ips: true, mac: true } }) })
    const mac = '02:00:00:00:40:77'
    const pod = rig.attach([{ name: 'fixed', ips: ['10.40.0.77/24'], mac }])
    const truth = new Truth(rig.machine, pod)
    expect(truth.addresses('net1')).toEqual(['10.40.0.77/24'])
    expect(truth.link('net1').address).toBe(mac)
    expect(rig.leases()).toEqual([`fixed 10.40.0.77/24 apps/${pod.pod.metadata.name}`])
    expect(rig.statusOf(pod)[1]).toMatchObject({ ips: ['10.40.0.77'], mac })
    rig.detach(pod)
  },
}

const undeclared: Case = {
  title: '`ips` and `mac` without declared capabilities',
  run(rig) {
    rig.define({ plain: macvlan('10.41.0.0/24') })
    const mac = '02:00:00:00:41:77'
    const pod = rig.attach([{ name: 'plain', ips: ['10.41.0.77'], mac }])
    const truth = new Truth(rig.machine, pod)
    expect(truth.addresses('net1')).toEqual(['10.41.0.77/24'])
    expect(truth.link('net1').address).toBe(mac)
    rig.detach(pod)
  },
}

const refused: Case = {
  title: '`ips` that is held: the ADD fails with our words, nothing is left',
  run(rig) {
    const capabilities = { ips: true }
    rig.define({ first: macvlan('10.42.0.0/24'), fixed: macvlan('10.43.0.0/24', { capabilities }) })
    const holder = rig.attach([{ name: 'fixed', ips: ['10.43.0.77/24'] }])
    const before = rig.leases()
    const sandbox = rig.runtime.sandbox(rig.createPod([{ name: 'first' }, { name: 'fixed', ips: ['10.43.0.77/24'] }]))
    const answer = rig.runtime.call('add', sandbox)
    expect(answer.exitCode).toBe(1)
    expect(answer.stderr).toContain(`Cannot claim "10.43.0.77"`)
    expect(rig.leases()).toEqual(before)
    expect(new Truth(rig.machine, sandbox).links()).toEqual([])
    rig.detach(sandbox, holder)
  },
}

const uplink = macvlan('', { ipam: { type: 'berth-ipam', range: '10.44.0.0/24', gateway: '10.44.0.1' } })
const overUplink = [{ name: 'uplink', 'default-route': ['10.44.0.1'] }]

const defaultRoute: Case = {
  title: '`default-route` over our network',
  run(rig) {
    const ipam = { type: 'host-local', ranges: [[{ subnet: '10.245.0.0/24' }]] }
    rig.define({ uplink, inner: { cniVersion: '1.0.0', type: 'bridge', bridge: 'cni0', ipam } })
    const pod = rig.attach(overUplink, { 'v1.multus-cni.io/default-network': 'apps/inner' })
    expect(new Truth(rig.machine, pod).defaultRoutes()).toEqual(['net1 via 10.44.0.1'])
    expect(rig.statusOf(pod).map(({ name }) => name)).toEqual(['apps/inner', 'apps/uplink'])
    rig.detach(pod)
  },
}

/** Its pull request 1552 tells why: it looks for routes without a destination, and its library has given such routes one since 1.3. */
const defaultRouteTaken: Case = {
  title: '`default-route` beside that of the primary network: Multus 4.3.0 keeps the latter',
  run(rig) {
    rig.define({ uplink })
    const pod = rig.attach(overUplink)
    expect(new Truth(rig.machine, pod).defaultRoutes()).toEqual(['eth0 via 10.244.0.1'])
    rig.detach(pod)
  },
}

export const requests: readonly Case[] = [declared, undeclared, refused, defaultRoute, defaultRouteTaken]
