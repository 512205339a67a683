/** What the specification says of versions and verbs, for the tables of the protocol; not read from the program. */
import { expect } from 'vitest'
import { type Answer, ip, type Pod } from './host.ts'

export const versions = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const
export type Version = (typeof versions)[number]

/** SPEC "Version considerations": the first version whose configs may be used with the verb. */
const since = { ADD: '0.1.0', DEL: '0.1.0', CHECK: '0.4.0', GC: '1.1.0', STATUS: '1.1.0' } as const
export const allows = (version: Version, verb: keyof typeof since): boolean =>
  versions.indexOf(version) >= versions.indexOf(since[verb])

/** What every verb but ADD and VERSION answers when it succeeds. */
export const silence: Answer = { exitCode: 0, stdout: '', stderr: '' }

export interface CniFailure {
  readonly cniVersion: string
  readonly code: number
  readonly msg: string
  readonly details?: string
}

/** The error of an answer that must be one; `stderr` is for the operator and must be empty. */
export function failureOf({ exitCode, stdout, stderr }: Answer): CniFailure {
  expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: '' })
  return JSON.parse(stdout)
}

/** Expects silence where the version has the verb, and else the error that the reference library gives. */
export function expectVerb(version: Version, verb: keyof typeof since, answer: Answer): void {
  const msg = `config version does not allow ${verb}`
  if (allows(version, verb)) expect(answer, `${verb} in ${version}`).toEqual(silence)
  else expect(failureOf(answer)).toEqual({ cniVersion: version, code: 1, msg, details: `config is "${version}"` })
}

const versionAnswer = { cniVersion: '1.1.0', supportedVersions: [...versions] }

/** VERSION is the same whatever the config speaks: that is how a runtime finds out what to speak. */
export function expectVersionAnswer({ exitCode, stdout, stderr }: Answer): void {
  expect({ exitCode, stderr, said: JSON.parse(stdout) }).toEqual({ exitCode: 0, stderr: '', said: versionAnswer })
}

export interface KernelLink {
  readonly address: string
  readonly mtu: number
  readonly flags: readonly string[]
  readonly linkinfo: { readonly info_kind: string; readonly info_data: { readonly mode: string } }
}

/** The link as the kernel has it. */
export function kernelLink(pod: Pod, name = 'net1'): KernelLink {
  const [link]: KernelLink[] = JSON.parse(ip('-d', '-j', '-n', pod.name, 'link', 'show', name))
  if (link === undefined) throw new Error(`no link "${name}" in ${pod.name}`)
  return link
}
