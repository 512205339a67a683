/**
 * Giving a VF back: whatever has become of it, afterwards it is as its holding says that it was. It goes by what is there and not by what
 * was done, so that it may be repeated from wherever it stopped, and serves an ADD that failed half way as well.
 *
 *   interface home (down) -> PF's attributes -> name, MTU, MAC, flags -> the holding is removed (by the caller)
 */
import { discardName } from '../shared/disk.ts'
import { readBootId } from '../shared/host/boot.ts'
import { NetlinkSocket } from '../shared/host/netlink.ts'
import { isUserSpaceDriver, readPciDevice } from '../shared/host/pci.ts'
import { pathUnder } from '../shared/host/under-root.ts'
import { log } from '../shared/log.ts'
import { restoreAttributes } from './attributes.ts'
import type { Holding } from './holding.ts'
import { bringHome, restoreNetdev } from './home.ts'

/**
 * The call of the holding's attachment is held. `root` leads to the root directory of whoever made the holding; '' is our own. Throws
 * ERR_KERNEL; then the holding stays, and the next one goes on.
 */
export async function giveBack(holding: Holding, root = ''): Promise<void> {
  const { address, netdev: original, bootId, deviceInfo } = holding
  if (deviceInfo !== undefined) discardName(pathUnder(root, deviceInfo))
  // A boot takes everything away that was set.
  if (bootId !== readBootId()) return
  const device = readPciDevice(address)
  if (device === undefined) {
    log('warn', `"${address}" is gone: there is nothing to give back`)
    return
  }
  const hasNetdev = original !== undefined && !isUserSpaceDriver(device.driver)
  if (original !== undefined && !hasNetdev) {
    log('warn', `"${address}" has the driver "${device.driver}" by now: its interface cannot be restored`)
  }
  using host = new NetlinkSocket()
  // The PF lets go of the VF when the pod has it no more: a VLAN must not end before.
  const netdev = original !== undefined && hasNetdev ? await bringHome(holding, original, root) : undefined
  const vf = await restoreAttributes(host, holding)
  if (netdev === undefined || original === undefined) return
  // Only what is in the holding is set back after a kill.
  await restoreNetdev(netdev, original, holding.set.trust === undefined ? undefined : vf)
}
