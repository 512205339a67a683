import { closeSync, fstatSync, openSync, readlinkSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { netnsAlive, openNetns, openNetnsIfAny, sameNetns } from '../../../shared/host/netns.ts'
import { failureOf } from '../failures.ts'
import { temporaryDirectory } from '../temporary.ts'

const ownPath = '/proc/self/ns/net'
const { dev, ino } = statSync(ownPath)

const openDescriptors = (): number => {
  const probe = openSync('/dev/null', 'r')
  closeSync(probe)
  return probe
}

/** Paths at which there is no namespace (any more). */
const noNamespace: readonly [string, () => string][] = [
  ['nothing', () => `${temporaryDirectory()}/absent`],
  ['a path below a file', () => '/proc/version/net'],
  [
    'the plain file that a bind mount leaves',
    () => {
      const path = `${temporaryDirectory()}/left`
      writeFileSync(path, '')
      return path
    },
  ],
  ['a directory', () => temporaryDirectory()],
]

describe('openNetns()', () => {
  it('tells namespaces apart by device and inode, and closes what it opened', () => {
    const before = openDescriptors()
    {
      using netns = openNetns(ownPath, true)
      expect(netns).toMatchObject({ path: ownPath, identity: { dev, ino } })
      expect(fstatSync(netns.fd).ino).toBe(ino)
      expect(readlinkSync(ownPath)).toBe(`net:[${netns.identity.ino}]`)
    }
    expect(openDescriptors()).toBe(before)
  })

  it('refuses the own namespace with code 8 unless it is meant, and keeps nothing open', () => {
    const before = openDescriptors()
    const failure = failureOf(() => openNetns(ownPath, false))
    expect([failure.code, failure.message]).toEqual([
      8,
      "plugin's netns and netns from CNI_NETNS should not be the same",
    ])
    expect(failure.details).toBe(`CNI_NETNS is "${ownPath}"`)
    expect(openDescriptors()).toBe(before)
  })

  it.each(noNamespace)('refuses %s with code 4, and keeps nothing open', (_, pathOf) => {
    const path = pathOf()
    const before = openDescriptors()
    const failure = failureOf(() => openNetns(path, false))
    expect([failure.code, failure.message]).toEqual([4, `Cannot open CNI_NETNS "${path}": not a network namespace`])
    expect(openDescriptors()).toBe(before)
  })
})

describe('openNetnsIfAny()', () => {
  it.each([['no path', () => ''] as const, ...noNamespace])('gives nothing for %s', (_, pathOf) => {
    expect(openNetnsIfAny(pathOf(), false)).toBeUndefined()
  })

  it('refuses the own namespace with code 8 unless it is meant', () => {
    expect(failureOf(() => openNetnsIfAny(ownPath, false)).code).toBe(8)
    using netns = openNetnsIfAny(ownPath, true)
    expect(netns?.identity).toEqual({ dev, ino })
  })
})

describe('netnsAlive()', () => {
  it('says yes when the same namespace is at the path', () => {
    expect(netnsAlive(ownPath, { dev, ino })).toBe(true)
  })

  it('says no when another one is at the path', () => {
    expect(netnsAlive(ownPath, { dev, ino: ino + 1 })).toBe(false)
    expect(netnsAlive(ownPath, { dev: dev + 1, ino })).toBe(false)
  })

  it.each(noNamespace)('says no when %s is at the path', (_, pathOf) => {
    expect(netnsAlive(pathOf(), { dev, ino })).toBe(false)
  })
})

describe('netnsAlive() in doubt', () => {
  it('says yes when the path cannot be looked at: who asks frees what it held', () => {
    const path = `${temporaryDirectory()}/loop`
    symlinkSync(path, path)
    expect(netnsAlive(path, { dev, ino })).toBe(true)
  })
})

describe('sameNetns()', () => {
  it('compares device and inode', () => {
    expect(sameNetns({ dev, ino }, statSync(ownPath))).toBe(true)
    expect(sameNetns({ dev: dev + 1, ino }, { dev, ino })).toBe(false)
  })
})
