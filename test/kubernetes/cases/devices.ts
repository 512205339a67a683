/**
 * The device of a NAD with a resourceName, from kubelet to the plugin and back into network-status. berth-macvlan has no use for one, and
 * takes the config all the same; that it is there is seen in the config that libcni keeps.
 */
import { expect } from 'vitest'
import { PodResources, resource, writeCheckpoint, writeDeviceInfo } from '../devices.ts'
import { multusCache } from '../multus.ts'
import type { Rig } from '../rig.ts'
import type { Sandbox } from '../runtime.ts'
import { type Case, macvlan } from './case.ts'

const ofResource = { 'k8s.v1.cni.cncf.io/resourceName': resource }

/** The device in the config that a plugin got. */
function devicesIn({ machine }: Rig, { id }: Sandbox, network: string, ifName: string): unknown {
  const kept = JSON.parse(machine.read(`${multusCache}/results/${network}-${id}-${ifName}`))
  const { deviceID, pciBusID, runtimeConfig } = JSON.parse(Buffer.from(kept.config, 'base64').toString())
  return { deviceID, pciBusID, runtimeConfig, offered: kept.capabilityArgs }
}

const fromCheckpoint: Case = {
  title: "deviceID by resourceName, from kubelet's checkpoint file; two networks, two devices",
  run(rig) {
    rig.define({ 'vf-a': macvlan('10.60.0.0/24'), 'vf-b': macvlan('10.61.0.0/24') }, ofResource)
    const sandbox = rig.runtime.sandbox(rig.createPod('vf-a,vf-b'))
    writeCheckpoint(rig.machine, sandbox.pod, ['0000:01:10.2', '0000:01:10.0'])
    rig.runtime.add(sandbox)
    // Multus sorts them.
    expect(devicesIn(rig, sandbox, 'vf-a', 'net1')).toMatchObject({
      deviceID: '0000:01:10.0',
      pciBusID: '0000:01:10.0',
    })
    expect(devicesIn(rig, sandbox, 'vf-b', 'net2')).toMatchObject({
      deviceID: '0000:01:10.2',
      pciBusID: '0000:01:10.2',
    })
    rig.detach(sandbox)
  },
}

const fromSocket: Case = {
  title: "deviceID by resourceName, from kubelet's socket, with device-info in network-status",
  run(rig) {
    const capabilities = { deviceID: true, CNIDeviceInfoFile: true }
    rig.define({ 'vf-c': macvlan('10.62.0.0/24', { capabilities }) }, ofResource)
    const sandbox = rig.runtime.sandbox(rig.createPod('vf-c'))
    const deviceID = '0000:01:10.4'
    const info = writeDeviceInfo(rig.machine, deviceID)
    {
      using _ = new PodResources(rig.machine, rig.programs, sandbox.pod, [deviceID])
      rig.runtime.add(sandbox)
    }
    expect(devicesIn(rig, sandbox, 'vf-c', 'net1')).toMatchObject({ deviceID, offered: { deviceID } })
    expect(rig.statusOf(sandbox)[1]).toMatchObject({ interface: 'net1', 'device-info': info })
    rig.detach(sandbox)
    expect(rig.machine.shell('ls /run/k8s.cni.cncf.io/devinfo/cni')).toBe('')
  },
}

export const devices: readonly Case[] = [fromCheckpoint, fromSocket]
