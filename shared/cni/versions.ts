/** The versions of the CNI specification and what each allows. */

export const supportedVersions = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const
export type CniVersion = (typeof supportedVersions)[number]

/** The version that a VERSION answer and errors about unreadable configs carry. */
export const newestVersion: CniVersion = '1.1.0'

/** A config without cniVersion speaks 0.1.0 (SPEC section 1, and the reference library). */
export const impliedVersion: CniVersion = '0.1.0'

export const verbs = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'] as const
export type Verb = (typeof verbs)[number]

/** The first version of the specification that has the verb. */
const verbSince: Partial<Record<Verb, CniVersion>> = { CHECK: '0.4.0', GC: '1.1.0', STATUS: '1.1.0' }

/** The exact version named, or undefined: `1.1` is not `1.1.0`. */
export const parseVersion = (text: string): CniVersion | undefined => supportedVersions.find((known) => known === text)

export const atLeast = (version: CniVersion, floor: CniVersion): boolean =>
  supportedVersions.indexOf(version) >= supportedVersions.indexOf(floor)

export function verbAllowed(verb: Verb, version: CniVersion): boolean {
  const since = verbSince[verb]
  return since === undefined || atLeast(version, since)
}
