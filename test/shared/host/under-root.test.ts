import { mkdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { openNetns } from '../../../shared/host/netns.ts'
import { pathUnder } from '../../../shared/host/under-root.ts'
import { readUserFile } from '../../../shared/user-file.ts'
import { temporaryDirectory } from '../temporary.ts'

let root = ''
beforeEach(() => {
  root = temporaryDirectory()
  mkdirSync(`${root}/run/netns`, { recursive: true })
  mkdirSync(`${root}/var/lib`, { recursive: true })
  writeFileSync(`${root}/run/netns/pod`, 'in the root')
  symlinkSync('/run', `${root}/var/run`)
  symlinkSync('../run/netns', `${root}/var/relative`)
  symlinkSync('/var/run/netns/../netns/pod', `${root}/run/twice`)
  symlinkSync('/loop', `${root}/loop`)
  symlinkSync('../../../../run', `${root}/var/out`)
})

describe('pathUnder()', () => {
  it.each([
    ['/run/netns/pod', '/run/netns/pod'],
    ['/var/run/netns/pod', '/run/netns/pod'],
    ['/var/relative/pod', '/run/netns/pod'],
    ['/run/twice', '/run/netns/pod'],
    ['/var/out/netns/pod', '/run/netns/pod'],
    ['/../../run/./netns//pod', '/run/netns/pod'],
    ['/var/run/netns/absent/deeper', '/run/netns/absent/deeper'],
  ])('leads %s to %s of the root', (path, found) => {
    expect(pathUnder(root, path)).toBe(root + found)
  })

  it('leaves a path alone when the root is ours', () => {
    expect(pathUnder('', '/var/../x')).toBe('/var/../x')
  })

  it('ends for links that lead to each other', () => {
    expect(pathUnder(root, '/loop/x')).toContain('/loop')
  })

  it('leaves what /proc says of a namespace to the kernel', () => {
    const own = readlinkSync('/proc/self/ns/net')
    expect(own).toMatch(/^net:/)
    using netns = openNetns(`/proc/${process.pid}/ns/net`, true, '/proc/self/root')
    expect(netns.identity.ino).toBe(Number(/[0-9]+/.exec(own)?.[0]))
  })
})

describe('readUserFile()', () => {
  it('reads a file over an absolute link of the root', () => {
    expect(readUserFile('it', '/var/run/netns/pod', 100, root)).toBe('in the root')
  })
})
