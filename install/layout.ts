/**
 * What stands in the folder of plugins, and why a kill at any moment leaves one whole version:
 *
 *   berth-macvlan -> .berth/current/berth-macvlan     what a runtime executes; so are berth-ipam, berth, and the aliases
 *   .berth/
 *     current -> 0.1.0-3f2a91c07be4                   the one name that an upgrade changes
 *     previous -> 0.1.0-77c0d9e4b1aa                  the version before, to go back to
 *     0.1.0-3f2a91c07be4/                             a version, never changed once it is complete
 *       berth, berth-macvlan, berth-ipam              the program and the launcher's names
 *       macvlan, whereabouts, ...                     the launcher again, for each alias that there can be
 *       lib/                                          the program's libraries and their loader
 *       SHA256SUMS                                    as sha256sum(1) reads it
 *     replaced/                                       what had one of our names before, for --uninstall
 *     lock                                            one installer at a time
 *
 * A launcher finds the program by its own real path, so it never meets one of another version. An alias has a file of its own because other
 * installers write through a link (`cp -f`): what they spoil is that one alone. Pure.
 */
import { ownFolder } from '../shared/aliases.ts'

export const previousName = 'previous'
export const replacedName = 'replaced'
export const lockName = 'lock'
export const sumsName = 'SHA256SUMS'
/** Where the program's own libraries stand beside it. */
export const librariesName = 'lib'
export const programName = 'berth'

/** In front of a file's name while it is being written, and of a folder's while it is being removed. */
export const passing = '.new,'
/** What our folder is called while it is being removed. */
export const goneName = `${passing}berth`

/** Whether a symbolic link in the folder of plugins is one of ours. */
export const isOwnTarget = (target: string): boolean => target.startsWith(`${ownFolder}/`)

/** A file of a version. */
export interface SetFile {
  /** `berth`, `lib/libatomic.so.1`. */
  readonly name: string
  /** The file that it is a copy of, where it is installed from: another one for an alias. */
  readonly source: string
  readonly sha256: string
  readonly bytes: number
  readonly executable: boolean
}

/** The files of a version as they stand where they are installed from, and what they are called together. */
export interface FileSet {
  readonly from: string
  readonly id: string
  readonly files: readonly SetFile[]
}

export const sumsOf = (files: readonly Pick<SetFile, 'name' | 'sha256'>[]): string =>
  files.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join('')

/** Reads what sumsOf() writes. Throws an Error for a line that is none. */
export function readSums(text: string): Map<string, string> {
  const lines = text.split('\n').filter((line) => line !== '')
  return new Map(
    lines.map((line) => {
      const [, sha256, name] = /^([0-9a-f]{64}) [ *](.+)$/.exec(line) ?? []
      if (sha256 === undefined || name === undefined)
        throw new Error(`${JSON.stringify(line)} is no checksum of a file`)
      return [name, sha256]
    }),
  )
}
