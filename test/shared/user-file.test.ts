import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { readUserFile } from '../../shared/user-file.ts'
import { failureOf } from './failures.ts'
import { asOrdinaryUser } from './ordinary.ts'
import { temporaryDirectory } from './temporary.ts'

const maxBytes = 1000

let folder: string
beforeEach(() => {
  folder = temporaryDirectory()
})
const read = (path: string) => readUserFile('the file', path, maxBytes)
const failure = (path: string): [string, string] => {
  const { errorName, message } = failureOf(() => read(path))
  return [errorName, message]
}

describe('readUserFile()', () => {
  it('reads a file of exactly as many bytes as are allowed', () => {
    writeFileSync(`${folder}/file`, `${'x'.repeat(maxBytes - 2)}\u00e4`)
    expect(read(`${folder}/file`)).toBe(`${'x'.repeat(maxBytes - 2)}\u00e4`)
  })

  it('follows symbolic links to a file', () => {
    mkdirSync(`${folder}/run`)
    writeFileSync(`${folder}/run/stub.conf`, 'text')
    symlinkSync('run/stub.conf', `${folder}/link`)
    symlinkSync(`${folder}/link`, `${folder}/linked`)
    expect(read(`${folder}/linked`)).toBe('text')
  })

  it('reads a file of /proc, whose size is told as 0', () => {
    expect(read('/proc/sys/kernel/ostype')).toBe('Linux\n')
  })

  it('is undefined when there is no such file', () => {
    writeFileSync(`${folder}/file`, '')
    symlinkSync(`${folder}/absent`, `${folder}/dangling`)
    const paths = ['absent', 'dangling', 'file/below'].map((name) => `${folder}/${name}`)
    expect(paths.map(read)).toEqual([undefined, undefined, undefined])
  })

  it.each<[string, (path: string) => unknown, string]>([
    ['a directory', (path) => mkdirSync(path), 'it is a directory'],
    ['a link to a directory', (path) => symlinkSync('/etc', path), 'it is a directory'],
    ['a pipe', (path) => execFileSync('mkfifo', [path]), 'it is not a regular file'],
    ['endless', (path) => symlinkSync('/dev/zero', path), 'it is not a regular file'],
    [
      'one byte too large',
      (path) => writeFileSync(path, 'x'.repeat(maxBytes + 1)),
      'it has 1001 bytes, and at most 1000 are read',
    ],
    ['a file of /proc that is too large', (path) => symlinkSync('/proc/kallsyms', path), 'it has more than 1000 bytes'],
  ])('fails with ERR_CONFIG and says why when it is %s', (_, make, why) => {
    make(`${folder}/it`)
    expect(failure(`${folder}/it`)).toEqual(['ERR_CONFIG', `Cannot read the file "${folder}/it": ${why}`])
  })

  it('fails with ERR_CONFIG when no file can have the name', () => {
    expect(failure('a\0b')).toEqual(['ERR_CONFIG', 'Cannot read the file "a\\u0000b": no file has such a name'])
  })

  it('fails with ERR_IO and names the file when reading fails', () => {
    // Nothing is at address 0 of a process.
    expect(failure('/proc/self/mem')).toEqual([
      'ERR_IO',
      expect.stringMatching(/^Cannot read the file "\/proc\/self\/mem": EIO/),
    ])
  })

  it('fails with ERR_IO and names the file when it may not be read', () => {
    writeFileSync(`${folder}/file`, 'text')
    chmodSync(`${folder}/file`, 0)
    asOrdinaryUser(folder, () => {
      expect(failure(`${folder}/file`)).toEqual([
        'ERR_IO',
        expect.stringMatching(new RegExp(`^Cannot read the file "${folder}/file": EACCES`)),
      ])
    })
  })
})
