/**
 * What stands in the folder of plugins, and why a kill at any moment leaves one whole version:
 *
 *   berth-macvlan -> .berth/current/berth-macvlan     what a runtime executes; so are berth-ipam, berth, and the aliases
 *   .berth/
 *     current -> 0.1.0-3f2a91c07be4                   the one name that an upgrade changes
 *     0.1.0-3f2a91c07be4/                             a version, never changed once it is complete
 *       berth, berth-macvlan, berth-ipam              the program and the launcher's names
 *       lib/                                          the program's libraries and their loader
 *       SHA256SUMS                                    as sha256sum(1) reads it
 *     replaced/                                       what had one of our names before, for --uninstall
 *     lock                                            one installer at a time
 *
 * A launcher finds the program by its own real path, so it never meets one of another version. Pure.
 */

export const ownFolder = '.berth'
export const currentName = 'current'
export const replacedName = 'replaced'
export const lockName = 'lock'
export const sumsName = 'SHA256SUMS'
/** Where the program's own libraries stand beside it. */
export const librariesName = 'lib'
export const programName = 'berth'

/** What a name of ours links to. */
export const linkTarget = (file: string): string => `${ownFolder}/${currentName}/${file}`

/** Whether a symbolic link in the folder of plugins is one of ours. */
export const isOwnTarget = (target: string): boolean => target.startsWith(`${ownFolder}/`)

/** A file of a version. */
export interface SetFile {
  /** `berth`, `lib/libatomic.so.1`. */
  readonly name: string
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
