/** The PF's side of a VF: what it was told is set, and set back, and what it refuses is named. */
import { CniError } from '../shared/cni/errors.ts'
import { SystemError } from '../shared/host/libc.ts'
import { findLink, type Link } from '../shared/host/links.ts'
import type { NetlinkSocket } from '../shared/host/netlink.ts'
import { readPciDevice } from '../shared/host/pci.ts'
import {
  attributeKeys,
  differingFrom,
  namesOf,
  readVf,
  setVf,
  spellAttribute,
  type VfAttributes,
  type VfOfPf,
} from '../shared/host/vf-attributes.ts'
import { log } from '../shared/log.ts'
import { whileBusy } from './busy.ts'
import type { Holding } from './holding.ts'

const zeroMac = '00:00:00:00:00:00'

/** The interface of a PF, through which its VFs are set; undefined when it has none in the node's namespace. */
export function findPfLink(host: NetlinkSocket, pf: string): Link | undefined {
  const [name] = readPciDevice(pf)?.netdevs ?? []
  return name === undefined ? undefined : findLink(host, { name })
}

/** One that was refused, and why. */
interface Refused {
  readonly name: keyof VfAttributes
  readonly cause: SystemError
}

/** Sets them one by one, up to the first that the kernel refuses; undefined when it takes all of them. */
async function setInTurn(vf: VfOfPf, attributes: VfAttributes): Promise<Refused | undefined> {
  for (const name of namesOf(attributes)) {
    try {
      await whileBusy(() => setVf(vf, { [name]: attributes[name] }))
    } catch (error) {
      if (!(error instanceof SystemError)) throw error
      return { name, cause: error }
    }
  }
  return undefined
}

/** Sets them in one message. Throws ERR_KERNEL that names the attribute which the PF refuses; those before it are set then. */
export async function setAttributes(vf: VfOfPf, attributes: VfAttributes): Promise<void> {
  if (namesOf(attributes).length === 0) return
  try {
    await whileBusy(() => setVf(vf, attributes))
  } catch (error) {
    if (!(error instanceof SystemError)) throw error
    // The kernel stops at the first one that it refuses and does not say which. A second time they may all be taken.
    const refused = await setInTurn(vf, attributes)
    if (refused === undefined) return
    const what = `${attributeKeys[refused.name]} ${spellAttribute(refused.name, attributes)}`
    const meanings: Record<string, string> = { ENOTSUP: 'its driver does not offer it: ' }
    const why = `${meanings[refused.cause.code] ?? ''}${refused.cause.message}`
    throw new CniError('ERR_KERNEL', `Cannot set ${what}: ${why}`, { cause: refused.cause })
  }
}

/** What the PF had of those attributes that it was told anew. */
function wantedBack({ before, set }: Holding): VfAttributes {
  return Object.fromEntries(namesOf(set).map((name) => [name, before[name]]))
}

/** No MAC, all zeros, is more than some PFs take back: they get the one that the interface had. */
async function setBack(vf: VfOfPf, name: keyof VfAttributes, wanted: VfAttributes, { netdev }: Holding): Promise<void> {
  try {
    await setAttributes(vf, { [name]: wanted[name] })
  } catch (error) {
    if (name !== 'mac' || wanted.mac !== zeroMac || netdev === undefined) throw error
    await setAttributes(vf, { mac: netdev.mac })
  }
}

/** A PF that is gone took its VFs along; one that is elsewhere still has what it was told. Throws ERR_KERNEL for the latter. */
function missPf(address: string, pf: string): void {
  const stays = `the PF "${pf}" of "${address}" has no interface here: what it was told of the VF stays`
  if (readPciDevice(pf) !== undefined) throw new CniError('ERR_KERNEL', `Cannot give back "${address}": ${stays}`)
  log('warn', stays)
}

/**
 * Tells the PF again what it had for the VF. Throws ERR_KERNEL for what it refuses and has not got; all the rest is done then. A PF that
 * is gone is a warning: its VFs went with it.
 */
export async function restoreAttributes(host: NetlinkSocket, holding: Holding): Promise<VfOfPf | undefined> {
  const { pf, address } = holding
  if (pf === undefined) return undefined
  const link = findPfLink(host, pf.address)
  const wanted = wantedBack(holding)
  if (link === undefined) {
    if (namesOf(wanted).length > 0) missPf(address, pf.address)
    return undefined
  }
  const vf = { pfIndex: link.index, pfName: link.name, vf: pf.vf }
  if (namesOf(wanted).length === 0) return vf
  try {
    await whileBusy(() => setVf(vf, wanted))
    return vf
  } catch (error) {
    if (!(error instanceof SystemError)) throw error
  }
  let failure: unknown
  // What a driver does not offer was never set either.
  for (const name of namesOf(differingFrom((await readVf(vf)) ?? {}, wanted))) {
    try {
      await setBack(vf, name, wanted, holding)
    } catch (error) {
      failure ??= error
    }
  }
  if (failure !== undefined) throw failure
  return vf
}
