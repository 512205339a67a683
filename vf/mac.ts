/**
 * Giving a VF's interface a MAC (docs/decisions/012-vf.md). Drivers differ in who may: some take the PF's word at their next reset and
 * need no telling, most take the same MAC that the PF has, and igbvf takes none that the PF has not left to it, unless it is trusted.
 */
import { monotonicMs, pause } from '../shared/clock.ts'
import { CniError } from '../shared/cni/errors.ts'
import { SystemError } from '../shared/host/libc.ts'
import { changeNetdev, findNetdev } from '../shared/host/netdevs.ts'
import type { Netns } from '../shared/host/netns.ts'
import { readVf, setVf, type VfOfPf } from '../shared/host/vf-attributes.ts'
import { isBusy, pollMs, settleMaxMs, whileBusy } from './busy.ts'

/** A VF that resets itself takes the PF's MAC meanwhile, and no trust is needed. */
const pollsBeforeTrust = 3

/** Tries once; undefined when the interface has the MAC then, else why not. */
async function trial(netns: Netns, index: number, mac: string): Promise<SystemError | 'other' | undefined> {
  let refusal: SystemError | undefined
  try {
    await changeNetdev(netns, index, { mac })
  } catch (error) {
    if (!(error instanceof SystemError)) throw error
    refusal = error
  }
  // Some say yes and keep the one that they have.
  const found = await findNetdev(netns, { index })
  return found?.mac === mac ? undefined : (refusal ?? 'other')
}

/**
 * As a trusted one the VF may choose. Only ever done while its interface is the node's, and what the holding has of trust is set back
 * after a kill.
 */
async function trialTrusted(netns: Netns, index: number, mac: string, vf: VfOfPf): Promise<boolean> {
  if ((await readVf(vf))?.trust !== false) return false
  try {
    await setVf(vf, { trust: true })
  } catch (error) {
    if (error instanceof SystemError) return false
    throw error
  }
  try {
    return (await trial(netns, index, mac)) === undefined
  } finally {
    await whileBusy(() => setVf(vf, { trust: false }))
  }
}

/**
 * Gives the interface a MAC, which its PF has for it already. `vf`: the PF may be asked to trust the VF meanwhile. Throws ERR_KERNEL with
 * the kernel's words when neither the driver nor the PF makes it so in time.
 */
export async function settleMac(
  netns: Netns,
  netdev: { readonly index: number; readonly name: string },
  mac: string,
  vf: VfOfPf | undefined,
): Promise<void> {
  const deadlineMs = monotonicMs() + settleMaxMs
  let isTried = false
  for (let polls = 0; ; polls++) {
    const refusal = await trial(netns, netdev.index, mac)
    if (refusal === undefined) return
    if (vf !== undefined && !isTried && polls >= pollsBeforeTrust && !isBusy(refusal)) {
      isTried = true
      if (await trialTrusted(netns, netdev.index, mac, vf)) return
    }
    if (monotonicMs() < deadlineMs) {
      await pause(pollMs)
      continue
    }
    const why = refusal === 'other' ? 'its driver keeps another one' : refusal.message
    const more = refusal === 'other' ? {} : { cause: refusal }
    throw new CniError('ERR_KERNEL', `Cannot set mac "${mac}" of "${netdev.name}": ${why}`, more)
  }
}
