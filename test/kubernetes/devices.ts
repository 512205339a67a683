/** The two ways in which kubelet tells which devices it has given to a pod, and the file of a device plugin about a device. */
import { dirname } from 'node:path'
import type { Programs } from './build.ts'
import type { KubeObject } from './cluster.ts'
import { type Machine, until } from './machine.ts'

export const resource = 'example.com/vf'

const checkpoint = '/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint'
const socket = '/var/lib/kubelet/pod-resources/kubelet.sock'
const answers = '/run/podresources.json'
const socketWithinMs = 20_000

/** Kubelet's own file, which Multus reads where there is no socket; -1 is a device of no NUMA node. */
export function writeCheckpoint(machine: Machine, pod: KubeObject, deviceIds: readonly string[]): void {
  const entry = {
    PodUID: pod.metadata.uid,
    ContainerName: 'main',
    ResourceName: resource,
    DeviceIDs: { '-1': deviceIds },
    AllocResp: '',
  }
  const data = { PodDeviceEntries: [entry], RegisteredDevices: { [resource]: deviceIds } }
  machine.write(checkpoint, JSON.stringify({ Data: data, Checksum: 0 }))
}

/** A server at kubelet's socket that tells of one pod. */
export class PodResources implements Disposable {
  readonly #machine: Machine
  readonly #pid: number

  constructor(machine: Machine, { folder }: Programs, pod: KubeObject, deviceIds: readonly string[]) {
    this.#machine = machine
    const { name, namespace } = pod.metadata
    const containers = [{ name: 'main', devices: [{ resourceName: resource, deviceIds }] }]
    machine.write(answers, JSON.stringify({ podResources: [{ name, namespace, containers }] }))
    machine.ask(['mkdir', '-p', dirname(socket)])
    this.#pid = machine.start('podresources', [`${folder}/podresources`, socket, answers])
    const isThere = (): boolean => machine.run(['test', '-S', socket]).exitCode === 0
    if (!until(isThere, socketWithinMs)) throw new Error(`no socket of kubelet: ${machine.log('podresources')}`)
  }

  [Symbol.dispose](): void {
    this.#machine.stop(this.#pid)
    this.#machine.shell('rm -f "$1"', socket)
  }
}

/** What the SR-IOV device plugin writes of a device that it has given out (Device Information Specification 1.1.0). */
export function writeDeviceInfo(machine: Machine, deviceId: string): object {
  const info = { type: 'pci', version: '1.1.0', pci: { 'pci-address': deviceId } }
  const name = `${resource.replaceAll('/', '-')}-${deviceId}-device.json`
  machine.write(`/run/k8s.cni.cncf.io/devinfo/dp/${name}`, JSON.stringify(info))
  return info
}
