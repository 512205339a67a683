/** Taking a device: the one that was asked for or the first free one, and the holding that makes it the attachment's. */
import { describeKey, sameKey } from '../../shared/attachment.ts'
import { wallClock } from '../../shared/clock.ts'
import { CniError } from '../../shared/cni/errors.ts'
import { keyValue } from '../../shared/cni/keys.ts'
import type { Request } from '../../shared/cni/request.ts'
import { readBootId, readHostIdentity } from '../../shared/host/boot.ts'
import type { Netdev } from '../../shared/host/netdevs.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'
import { type Netns, sameNetns } from '../../shared/host/netns.ts'
import { readVf, type VfAttributes } from '../../shared/host/vf-attributes.ts'
import { log } from '../../shared/log.ts'
import { messageOf } from '../../shared/message.ts'
import {
  giveBack,
  type Holding,
  Holdings,
  holdingFormat,
  holdingsOf,
  isInUse,
  reclaim,
  settleMaxMs,
  untilSeen,
} from '../../vf/index.ts'
import type { Deps } from '../deps.ts'
import type { SriovConfig } from './config.ts'
import { candidates, type Device, describeDevice, refuseOn } from './device.ts'

export const holdingsIn = ({ dataDir, store }: Deps): Holdings => new Holdings(dataDir, () => store.shared)

/** Who holds the device, when that is another attachment whose pod may be there; whatever else stands in the way is given back first. */
async function holderOf(
  address: string,
  { key }: Request,
  deps: Deps,
  { identity }: Netns,
): Promise<Holding | undefined> {
  const holdings = holdingsIn(deps)
  const holding = holdings.find(address)
  if (holding === undefined) return undefined
  if (!sameKey(holding, key)) {
    // The kernel gives a namespace's number to a later one. Our pod's is no other's; an interface in it is looked for.
    const isUsed = (one: Holding): boolean =>
      isInUse(one) &&
      (one.netdev !== undefined || one.containerId === key.containerId || !sameNetns(one.netns, identity))
    if (!(await reclaim(holdings, holding, deps.hold, isUsed))) return holdings.find(address)
    log('warn', `"${address}" was still held by ${describeKey(holding)}, whose pod is gone: it was given back`)
    return undefined
  }
  await takeBack(holding, deps)
  return undefined
}

/** For a holding of this attachment: a call of it was killed. */
async function takeBack(holding: Holding, deps: Deps): Promise<void> {
  await giveBack(holding, deps.root)
  holdingsIn(deps).remove(holding)
}

/** Of a PF with many VFs a bad one costs a warning, unless it is the last. */
async function chooseFree(
  host: NetlinkSocket,
  config: SriovConfig,
  request: Request,
  deps: Deps,
  netns: Netns,
): Promise<Device> {
  const { pf, metadataFolder: folder } = config
  if (pf === undefined) {
    throw new CniError('ERR_CONFIG', 'Cannot attach: neither "deviceID" nor "pf" says which VF to take', {
      details:
        'a device plugin hands "deviceID" over when the network has the annotation k8s.v1.cni.cncf.io/resourceName',
    })
  }
  for (const own of holdingsOf(holdingsIn(deps), request.key)) await takeBack(own, deps)
  let failure: unknown
  for await (const address of candidates(host, pf, holdingsIn(deps), { folder, root: deps.root })) {
    try {
      if ((await holderOf(address, request, deps, netns)) === undefined) return await describeDevice(host, address)
    } catch (error) {
      log('warn', `"${address}" is passed over: ${messageOf(error)}`)
      failure = error
    }
  }
  if (failure !== undefined) throw failure
  throw new CniError('ERR_EXHAUSTED', `Cannot attach to pf ${JSON.stringify(pf.text)}: none of its VFs is free`)
}

/** The device to attach, which nobody else holds now. Throws ERR_CONFIG, ERR_TAKEN that names the holder, ERR_EXHAUSTED. */
export async function chooseDevice(
  host: NetlinkSocket,
  config: SriovConfig,
  request: Request,
  deps: Deps,
  netns: Netns,
): Promise<Device> {
  const { address } = config
  const holder = address === undefined ? undefined : await holderOf(address, request, deps, netns)
  if (holder !== undefined) {
    throw new CniError('ERR_TAKEN', `Cannot attach "${address}": held by ${describeKey(holder)}`)
  }
  const device =
    address === undefined ? await chooseFree(host, config, request, deps, netns) : await describeDevice(host, address)
  refuseOn(host, config, device)
  return device
}

/**
 * What the PF has for the VF. One that is busy may leave a VF out: it is asked again, when something `isNeeded`. Throws ERR_KERNEL when it
 * never says.
 */
export async function readAttributes({ address, pf }: Device, isNeeded: boolean): Promise<VfAttributes> {
  if (pf === undefined) return {}
  const found = await untilSeen(() => readVf(pf.vf), isNeeded ? settleMaxMs : 0)
  if (found !== undefined || !isNeeded) return found ?? {}
  throw new CniError(
    'ERR_KERNEL',
    `Cannot attach "${address}": its PF "${pf.link.name}" says nothing of VF ${pf.vf.vf}`,
  )
}

/** Where the runtime wants to be told of the device (Device Information Specification 1.1.0). */
export function deviceInfoPath({ raw }: Request): string | undefined {
  const path = keyValue(keyValue(raw, 'runtimeConfig'), 'CNIDeviceInfoFile')
  return typeof path === 'string' && path !== '' ? path : undefined
}

interface Taking {
  readonly netns: Netns
  readonly podIndex: number
  readonly before: VfAttributes
  readonly set: VfAttributes
  /** The file is to be removed with the attachment. */
  readonly deviceInfo: string | undefined
}

const originalOf = ({ name, mac, mtuBytes, up, allMulticast, promiscuous, alternativeNames }: Netdev) => ({
  name,
  mac,
  mtuBytes,
  up,
  allMulticast,
  promiscuous,
  alternativeNames: [...alternativeNames],
})

/** What is written down before anything is changed. */
export function holdingOf(
  request: Request,
  device: Device,
  { netns, podIndex, before, set, deviceInfo }: Taking,
): Holding {
  const { address, driver, pf, netdev } = device
  return {
    format: holdingFormat,
    address,
    ...request.key,
    netns: { path: netns.path, ...netns.identity },
    ...(pf === undefined ? {} : { pf: { address: pf.address, vf: pf.vf.vf } }),
    ...(netdev === undefined
      ? {}
      : { netdev: { ...originalOf(netdev), ...(driver === undefined ? {} : { driver }), podIndex } }),
    before,
    set,
    ...(deviceInfo === undefined ? {} : { deviceInfo }),
    host: readHostIdentity(),
    bootId: readBootId(),
    heldSince: wallClock().toISOString(),
  }
}
