/** What the twin is told to do, and what both sides call things. */
import { type AttachmentRecord, leaseIp, leaseSpace } from '../../ipam/ledger/record.ts'
import { formatIp } from '../../shared/address.ts'

export interface ClaimWish {
  readonly plan: number
  readonly who: number
  readonly ask: number
  /** In another namespace than before. */
  readonly anew: boolean
}

export type Operation =
  | { readonly do: 'claim'; readonly wishes: readonly ClaimWish[] }
  | { readonly do: 'release'; readonly plan: number; readonly who: number }
  | { readonly do: 'die'; readonly plan: number; readonly who: number }
  | { readonly do: 'cut'; readonly plan: number; readonly who: number }
  /** By one with the same addresses, as of now. */
  | { readonly do: 'replace'; readonly plan: number; readonly who: number }
  | { readonly do: 'collect'; readonly plan: number }
  | { readonly do: 'sweep' }
  | { readonly do: 'reboot' }
  | { readonly do: 'wait'; readonly seconds: number }
  | { readonly do: 'corrupt'; readonly order: number; readonly how: number }

/** `default 10.0.0.4`, as the model calls an address, as the store's name for it. */
export const nameOf = (address: string): string => {
  const [space, text] = address.split(' ')
  return space === 'default' ? `${text}` : `${text}@${space}`
}

export const addressesOf = ({ leases }: AttachmentRecord): string[] =>
  leases.map((lease) => `${leaseSpace(lease)} ${formatIp(leaseIp(lease))}`)
