import { describe, expect, it } from 'vitest'
import {
  atLeast,
  type CniVersion,
  impliedVersion,
  newestVersion,
  parseVersion,
  supportedVersions,
  type Verb,
  verbAllowed,
  verbs,
} from '../../../shared/cni/versions.ts'

describe('parseVersion()', () => {
  it.each(supportedVersions)('knows %s', (version) => {
    expect(parseVersion(version)).toBe(version)
  })

  it.each(['', '1', '1.1', '1.1.0 ', 'v1.1.0', '1.1.0-rc1', '01.1.0', '0.5.0', '1.2.0', '2.0.0'])(
    'refuses %j',
    (text) => {
      expect(parseVersion(text)).toBeUndefined()
    },
  )
})

describe('atLeast()', () => {
  it('orders the versions as they were published', () => {
    expect(supportedVersions).toEqual(['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'])
    for (const [index, version] of supportedVersions.entries()) {
      const floors = supportedVersions.filter((floor) => atLeast(version, floor))
      expect(floors).toEqual(supportedVersions.slice(0, index + 1))
    }
  })

  it('has the newest and the implied version at its ends', () => {
    expect([impliedVersion, newestVersion]).toEqual([supportedVersions.at(0), supportedVersions.at(-1)])
  })
})

describe('verbAllowed()', () => {
  it.each<[Verb, CniVersion]>([
    ['ADD', '0.1.0'],
    ['DEL', '0.1.0'],
    ['VERSION', '0.1.0'],
    ['CHECK', '0.4.0'],
    ['GC', '1.1.0'],
    ['STATUS', '1.1.0'],
  ])('lets %s in from version %s on', (verb, since) => {
    const allowed = supportedVersions.filter((version) => verbAllowed(verb, version))
    expect(allowed).toEqual(supportedVersions.slice(supportedVersions.indexOf(since)))
  })

  it('answers for every verb that there is', () => {
    expect(verbs.filter((verb) => verbAllowed(verb, newestVersion))).toEqual([...verbs])
  })
})
