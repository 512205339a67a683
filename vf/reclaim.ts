/**
 * VFs whose pod is gone without a DEL: told from those that are in use, and given back. In doubt a VF is in use: one that stays held costs
 * a VF, one that is taken from a living pod costs the pod.
 */
import { sameKey } from '../shared/attachment.ts'
import type { AttachmentKey } from '../shared/cni/request.ts'
import { readBootId } from '../shared/host/boot.ts'
import { type Living, livingNamespaces, stillUsed } from '../shared/host/living.ts'
import { netnsAlive } from '../shared/host/netns.ts'
import { log } from '../shared/log.ts'
import { messageOf } from '../shared/message.ts'
import { giveBack } from './give-back.ts'
import { type Holding, sameHolding } from './holding.ts'
import type { Holdings } from './holdings.ts'

/** Keeps other calls of an attachment waiting (Store.hold). */
export type Hold = (key: AttachmentKey) => Disposable | Promise<Disposable>

/** Whether the pod of a holding may still be there; `living` looks through the processes when that is needed. */
export function isInUse({ bootId, netns, netdev }: Holding, living: () => Living = livingNamespaces): boolean {
  if (bootId !== readBootId()) return false
  if (netnsAlive(netns.path, netns)) return true
  const now = living()
  // Without an interface in it the namespace alone can tell.
  if (netdev === undefined) return now.find(netns) !== undefined || !now.complete
  return stillUsed(now, netns, netdev.podIndex, [])
}

/** As isInUse for many holdings: looks through the processes once. */
export function inUseNow(): (holding: Holding) => boolean {
  let looked: Living | undefined
  const living = (): Living => {
    looked ??= livingNamespaces()
    return looked
  }
  return (holding) => isInUse(holding, living)
}

/** Gives back what nobody uses any more; false when somebody does, or it has another life by now. Errors: those of giveBack. */
export async function reclaim(
  holdings: Holdings,
  holding: Holding,
  hold: Hold,
  isUsed: (holding: Holding) => boolean = isInUse,
): Promise<boolean> {
  // Who waits for the call of a living pod may wait long.
  if (isUsed(holding)) return false
  using _held = await hold(holding)
  const now = holdings.find(holding.address)
  if (now === undefined || !sameHolding(now, holding) || isUsed(now)) return false
  await giveBack(now)
  holdings.remove(now)
  return true
}

export interface SweptVfs {
  readonly restored: readonly Holding[]
  /** Gone at this look; the next sweep after the grace period gives them back. */
  readonly waiting: readonly Holding[]
  /** Gone, and could not be given back; the next sweep tries again. */
  readonly failed: readonly Holding[]
  readonly damaged: readonly string[]
}

interface SweepWish {
  readonly nowMs: number
  /** A namespace must have been gone for this long, seen by an earlier sweep. */
  readonly graceMs: number
  readonly dryRun: boolean
  readonly hold: Hold
}

/** One life of a holding. */
const lookName = ({ address, heldSince }: Holding): string => `${address} ${heldSince}`

async function reclaimEach(holdings: Holdings, due: readonly Holding[], hold: Hold) {
  const restored: Holding[] = []
  const failed: Holding[] = []
  for (const holding of due) {
    try {
      if (await reclaim(holdings, holding, hold)) restored.push(holding)
    } catch (error) {
      log('warn', `cannot give back "${holding.address}": ${messageOf(error)}`)
      failed.push(holding)
    }
  }
  return { restored, failed }
}

/** Looks once, and gives back what an earlier look found gone as well. Those of an earlier boot are nobody's at once. */
export async function sweepVfs(holdings: Holdings, { nowMs, graceMs, dryRun, hold }: SweepWish): Promise<SweptVfs> {
  const { holdings: all, damaged } = holdings.list()
  for (const path of damaged) log('warn', `"${path}" is not a whole holding: its VF is nobody's until a person looks`)
  const isUsed = inUseNow()
  const gone = all.filter((holding) => !isUsed(holding))
  const firstLooks = gone.length > 0 ? holdings.firstLooks() : new Map<string, number>()
  const seenMs = (holding: Holding): number => Math.min(firstLooks.get(lookName(holding)) ?? nowMs, nowMs)
  const isDue = (holding: Holding): boolean =>
    holding.bootId !== readBootId() || (firstLooks.has(lookName(holding)) && nowMs - seenMs(holding) >= graceMs)
  const [due, waiting] = [gone.filter(isDue), gone.filter((holding) => !isDue(holding))]
  if (dryRun) return { restored: due, waiting, failed: [], damaged }
  const { restored, failed } = await reclaimEach(holdings, due, hold)
  if (gone.length > 0) {
    holdings.setFirstLooks(new Map([...waiting, ...failed].map((holding) => [lookName(holding), seenMs(holding)])))
  }
  holdings.removeLeftOvers(nowMs)
  return { restored, waiting, failed, damaged }
}

/** All that an attachment holds. */
export const holdingsOf = (holdings: Holdings, key: AttachmentKey): Holding[] =>
  holdings.list().holdings.filter((holding) => sameKey(holding, key))
