/** Bringing a VF's interface back to the node, wherever it is by now, under the name and with the properties that it had. */
import { CniError } from '../shared/cni/errors.ts'
import { readBootId } from '../shared/host/boot.ts'
import { SystemError } from '../shared/host/libc.ts'
import { livingNamespaces } from '../shared/host/living.ts'
import {
  addAlternativeNames,
  changeNetdev,
  dropAlternativeNames,
  findNetdev,
  findNetdevOf,
  moveNetdev,
  type Netdev,
} from '../shared/host/netdevs.ts'
import { type Netns, nodeNetns, openNetnsIfAny, sameNetns } from '../shared/host/netns.ts'
import { bindDriver, netdevNames, readPciDevice, unbindDriver } from '../shared/host/pci.ts'
import type { VfOfPf } from '../shared/host/vf-attributes.ts'
import { log } from '../shared/log.ts'
import { untilSeen, whileBusy } from './busy.ts'
import type { Holding } from './holding.ts'
import { settleMac } from './mac.ts'

type Original = NonNullable<Holding['netdev']>

/** The kernel brings hardware home from a namespace that ends, some time after its last user is gone; a driver needs some as well. */
const homeMaxMs = 3000
/** What an interface is called whose own name is taken, as the kernel itself does it. */
const anyName = 'dev%d'

/** The device's interface in the node's namespace. */
async function findAtHome(address: string): Promise<Netdev | undefined> {
  const [name] = netdevNames(address)
  return name === undefined ? undefined : await findNetdev(nodeNetns(), { name })
}

const awaitAtHome = (address: string): Promise<Netdev | undefined> => untilSeen(() => findAtHome(address), homeMaxMs)

/**
 * The namespace of the pod that holds the VF, while anything still uses it: `root` leads to the root directory of whoever named its
 * path. Undefined when none is found.
 */
export function openHolderNetns({ netns, bootId }: Holding, root: string): Netns | undefined {
  if (bootId !== readBootId()) return undefined
  const asRecorded = openNetnsIfAny(netns.path, true, root)
  if (asRecorded !== undefined && sameNetns(asRecorded.identity, netns)) return asRecorded
  asRecorded?.[Symbol.dispose]()
  const path = livingNamespaces().find(netns)
  const found = path === undefined ? undefined : openNetnsIfAny(path, true)
  if (found !== undefined && sameNetns(found.identity, netns)) return found
  found?.[Symbol.dispose]()
  return undefined
}

/** The interface in its pod: whatever it is called, and whatever its index is. */
export async function findInPod(netns: Netns, address: string, { podIndex }: Original): Promise<Netdev | undefined> {
  const byIndex = await findNetdev(netns, { index: podIndex })
  // Kernels before 5.14 do not say what device it is, and before 5.13 did not take the index that was chosen.
  if (byIndex !== undefined && (byIndex.device ?? address) === address) return byIndex
  return await findNetdevOf(netns, address)
}

const isTaken = async (name: string): Promise<boolean> => (await findNetdev(nodeNetns(), { name })) !== undefined

async function takenOf(names: readonly string[]): Promise<string[]> {
  const taken: string[] = []
  for (const name of names) if (await isTaken(name)) taken.push(name)
  return taken
}

/** Moves the interface home in one message: down, under its own name if that is free, with its MTU. */
async function moveHome(pod: Netns, found: Netdev, original: Original): Promise<void> {
  const home = nodeNetns()
  // No name of it may be one that the node has; and while it is also called so, it cannot get its own.
  const inTheWay = await takenOf(found.alternativeNames)
  await dropAlternativeNames(
    pod,
    found.index,
    found.alternativeNames.filter((name) => inTheWay.includes(name) || name === original.name),
  )
  const move = { from: pod, index: found.index, to: home }
  const change = { mtuBytes: original.mtuBytes, up: false }
  try {
    await moveNetdev(move, { ...change, name: (await isTaken(original.name)) ? anyName : original.name })
  } catch (error) {
    if (!(error instanceof SystemError) || error.code !== 'EEXIST') throw error
    // Somebody has taken the name since, or the interface is home under the one that it had in the pod.
    if ((await findNetdev(pod, { index: found.index })) !== undefined)
      await moveNetdev(move, { ...change, name: anyName })
  }
}

/** The driver makes a new interface of the device, wherever the old one is. */
async function remake(address: string, driver: string): Promise<Netdev | undefined> {
  log('warn', `the interface of "${address}" is nowhere to be seen: its driver "${driver}" is made to begin anew`)
  await unbindDriver(address, driver)
  await bindDriver(address, driver)
  return await awaitAtHome(address)
}

async function leavePod(holding: Holding, original: Original, root: string): Promise<void> {
  using pod = openHolderNetns(holding, root)
  const found = pod && (await findInPod(pod, holding.address, original))
  if (pod === undefined || found === undefined) return
  try {
    await moveHome(pod, found, original)
  } catch (error) {
    if (!(error instanceof SystemError)) throw error
    // The kernel moves it first: what it refuses after that is seen to at home.
    if ((await findAtHome(holding.address)) !== undefined) return
    throw new CniError('ERR_KERNEL', `Cannot move "${found.name}" back to the node: ${error.message}`, { cause: error })
  }
}

/** Brings the interface home; undefined when the device has got another driver meanwhile, which makes none. Throws ERR_KERNEL when it does not come. */
export async function bringHome(holding: Holding, original: Original, root: string): Promise<Netdev | undefined> {
  const { address } = holding
  const device = readPciDevice(address)
  // Killed between the two halves of making it anew.
  if (device?.driver === undefined && original.driver !== undefined) await bindDriver(address, original.driver)
  if ((await findAtHome(address)) === undefined) await leavePod(holding, original, root)
  const found = await awaitAtHome(address)
  if (found !== undefined) return found
  const driver = readPciDevice(address)?.driver
  if (driver !== undefined && driver !== original.driver) {
    log('warn', `"${address}" has the driver "${driver}" by now: its interface cannot be restored`)
    return undefined
  }
  const made = driver === undefined ? undefined : await remake(address, driver)
  if (made !== undefined) return made
  throw new CniError('ERR_KERNEL', `Cannot give back "${address}": its interface does not come home`)
}

/** What a driver refuses of this is no reason to keep the VF from everybody: a warning. */
async function tryTo(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof SystemError)) throw error
    log('warn', `cannot ${what}: ${error.message}`)
  }
}

async function restoreNames(netdev: Netdev, original: Original): Promise<void> {
  const home = nodeNetns()
  const { index } = netdev
  const wanted = [original.name, ...original.alternativeNames]
  const foreign = netdev.alternativeNames.filter((name) => !original.alternativeNames.includes(name))
  await tryTo(`drop names of "${netdev.name}"`, () => dropAlternativeNames(home, index, foreign))
  if (netdev.name !== original.name) {
    const holder = await findNetdev(home, { name: original.name })
    if (holder === undefined) await changeNetdev(home, index, { name: original.name })
    else log('warn', `"${original.name}" is the name of another interface by now: "${netdev.name}" keeps this one`)
  }
  const missing = wanted.slice(1).filter((name) => !netdev.alternativeNames.includes(name))
  for (const name of missing) {
    if (await isTaken(name))
      log('warn', `"${name}" is the name of another interface by now: "${netdev.name}" goes without`)
    else await tryTo(`name "${netdev.name}" also "${name}"`, () => addAlternativeNames(home, index, [name]))
  }
}

/** Makes the interface at home what it was: name, MTU, MAC, flags. Throws ERR_KERNEL with the kernel's words for name and MAC. */
export async function restoreNetdev(netdev: Netdev, original: Original, vf: VfOfPf | undefined): Promise<void> {
  const home = nodeNetns()
  const { index } = netdev
  const { name, mtuBytes, mac, up, allMulticast, promiscuous } = original
  try {
    // Neither a name nor a MAC can be changed on every interface that is up.
    if (netdev.up) await changeNetdev(home, index, { up: false })
    await restoreNames(netdev, original)
    if (netdev.mtuBytes !== mtuBytes) {
      await tryTo(`set MTU ${mtuBytes} of "${name}"`, () => changeNetdev(home, index, { mtuBytes }))
    }
    if ((await findNetdev(home, { index }))?.mac !== mac) await settleMac(home, { index, name }, mac, vf)
    const flags = { up, allMulticast, promiscuous }
    await tryTo(`set "${name}" ${up ? 'up' : 'down'}`, () => whileBusy(() => changeNetdev(home, index, flags)))
  } catch (error) {
    if (!(error instanceof SystemError)) throw error
    throw new CniError('ERR_KERNEL', `Cannot restore "${name}": ${error.message}`, { cause: error })
  }
}
