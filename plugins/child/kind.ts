/** A kind of link that stands on a master: what tells macvlan and ipvlan apart. All else is the same for both. */
import type { Request } from '../../shared/cni/request.ts'
import type { Link } from '../../shared/host/links.ts'
import type { NetlinkSocket } from '../../shared/host/netlink.ts'
import type { ChildSpec } from '../../shared/host/new-links.ts'
import type { RecordedLink } from '../addresses.ts'
import type { Deps } from '../deps.ts'
import type { checkHostAccess, collectHostAccess, grantHostAccess, withdrawHostAccess } from '../macvlan/host-access.ts'
import type { ChildConfig } from './config.ts'

export interface ChildKind<Config extends ChildConfig> {
  /** What the kernel calls it. */
  readonly name: 'macvlan' | 'ipvlan'

  /** Throws ERR_CONFIG that names the key and the value. */
  readConfig(request: Request): Config

  /** Keys of the config that are probably misspelt, as warnings. */
  keyWarnings(request: Request): string[]

  /** Refuses what cannot be, before anything is looked at. Throws ERR_CONFIG. */
  refuse(config: Config, request: Request): void

  /** Refuses what cannot be on this master. Throws ERR_CONFIG. */
  refuseOn(config: Config, master: Link): void

  /** Whether each link has a MAC of its own, and not its master's. */
  readonly hasOwnMac: boolean

  /** The MAC that the config leaves no choice of; `fromIP`: to be made of the first address; undefined: none. */
  macOn(config: Config, master: Link): string | undefined

  /** What is recorded of the link besides its index and MAC, before there is one. */
  recorded(config: Config, master: Link): Partial<RecordedLink>

  /**
   * Refuses what other links of the master, in whose namespace `home` is, leave no room for, and lets no other be recorded until it is disposed of: then
   * this one is. Undefined where there is nobody to keep waiting. Throws ERR_CONFLICT and ERR_TRY_AGAIN.
   */
  reserve?(
    home: NetlinkSocket,
    config: Config,
    master: Link,
    request: Request,
    deps: Deps,
  ): Promise<Disposable | undefined>

  /** Creates the link and leaves it down. Throws SystemError. */
  create(socket: NetlinkSocket, spec: ChildSpec & { readonly mac: string }, config: Config): void

  /** Why the kernel refused to create it with EBUSY; follows the words that say what failed. */
  readonly whyBusy: string

  modeOf(link: Link): string | undefined

  /** How the node and the pod reach each other, of a kind that can. */
  readonly hostAccess?: {
    readonly grant: typeof grantHostAccess
    readonly withdraw: typeof withdrawHostAccess
    readonly check: typeof checkHostAccess
    readonly collect: typeof collectHostAccess
  }
}
