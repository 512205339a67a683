/** How records become durable: in the journal, or on a share by themselves. */
import { syncDirectory, writeDurable } from '../../shared/disk.ts'
import type { Journal } from './journal.ts'
import type { LeaseFiles } from './lease-files.ts'
import type { Spares } from './spares.ts'

export interface Durable {
  /** Returns when the lines of records are on disk, unless their files will be. */
  append(lines: string): void
  /** Writes a file below the directory of leases. */
  write(name: string, line: string): void
  /** Returns when the names are on disk, unless the journal has what they say. */
  syncNames(): void
}

/** `deferred`: the journal is synced later, by who asks for it. On a share the server keeps what it confirms. */
export function durableIn(
  files: LeaseFiles,
  journal: Journal,
  spares: Spares,
  store: { readonly shared: boolean },
  deferred = false,
): Durable {
  return {
    append: (lines) => {
      if (!store.shared && lines !== '') journal.append(lines, !deferred)
    },
    write: (name, line) => {
      if (store.shared) writeDurable(files.at(name), line)
      else spares.write(files.at(name), line)
    },
    syncNames: () => {
      if (store.shared) syncDirectory(files.path)
    },
  }
}
