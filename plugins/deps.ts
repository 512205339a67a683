/** What a plugin is given from outside, the same through every door. */
import type { Store } from '../ipam/index.ts'
import type { Request } from '../shared/cni/request.ts'
import type { Result } from '../shared/cni/result.ts'

export interface Deps {
  readonly store: Store
  /** The environment for delegated plugins: that of the caller. */
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** A plugin's verbs. They throw CniError; only ADD answers with a result. */
export interface Plugin {
  add(request: Request, deps: Deps): Promise<Result>
  del(request: Request, deps: Deps): Promise<void>
  check(request: Request, deps: Deps): Promise<void>
  gc(request: Request, deps: Deps): Promise<void>
  status(request: Request, deps: Deps): Promise<void>
  /** Keys of the config that are probably misspelt, as warnings. */
  keyWarnings(request: Request): string[]
}
