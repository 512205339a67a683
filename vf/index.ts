/** The door to who holds which VF: taking one, giving it back, and telling whether anybody still uses it. */
export { findPfLink, setAttributes } from './attributes.ts'
export { giveBack } from './give-back.ts'
export type { Holding } from './holding.ts'
export { holdingFormat } from './holding.ts'
export { Holdings } from './holdings.ts'
export { findInPod, openHolderNetns } from './home.ts'
export { settleMac } from './mac.ts'
export { type Hold, holdingsOf, isInUse, reclaim, type SweptVfs, sweepVfs } from './reclaim.ts'
