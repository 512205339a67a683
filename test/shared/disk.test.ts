import { execFileSync } from 'node:child_process'
import fs, {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import {
  createExclusive,
  isErrno,
  linkExclusive,
  makeDirectory,
  readIfExists,
  removeName,
  syncDirectory,
  writeDurable,
} from '../../shared/disk.ts'
import { temporaryDirectory } from './temporary.ts'

const modeOf = (path: string): number => lstatSync(path).mode & 0o7777

/** The error of a call, of whatever kind. */
function thrownBy(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return error
  }
  return undefined
}

// Without a umask the modes below are those that were asked for.
let umask = 0
beforeEach(() => {
  umask = process.umask(0)
})
afterEach(() => {
  process.umask(umask)
})

describe('isErrno()', () => {
  it.each<[string, unknown, boolean]>([
    ['the first code', Object.assign(new Error('x'), { code: 'ENOENT' }), true],
    ['the second code', Object.assign(new Error('x'), { code: 'EEXIST' }), true],
    ['another code', Object.assign(new Error('x'), { code: 'EACCES' }), false],
    ['an error without a code', new Error('ENOENT'), false],
    ['a number for a code', Object.assign(new Error('x'), { code: 2 }), false],
    ['an object that is no error', { code: 'ENOENT' }, false],
    ['nothing', undefined, false],
  ])('judges %s', (_, error, verdict) => {
    expect(isErrno(error, 'ENOENT', 'EEXIST')).toBe(verdict)
  })
})

describe('makeDirectory()', () => {
  it('makes all that is missing for the owner alone', () => {
    const root = temporaryDirectory()
    makeDirectory(`${root}/a/b/c`)
    expect([`${root}/a`, `${root}/a/b`, `${root}/a/b/c`].map(modeOf)).toEqual([0o700, 0o700, 0o700])
  })

  it('leaves directories that exist as they are', () => {
    const root = temporaryDirectory()
    mkdirSync(`${root}/a`, { mode: 0o755 })
    makeDirectory(`${root}/a`)
    makeDirectory(`${root}/a/b`)
    expect([`${root}/a`, `${root}/a/b`].map(modeOf)).toEqual([0o755, 0o700])
  })

  it.each(['a//b', 'a/b/', './a/b', 'x/../a/b'])('makes %s below a directory', (path) => {
    const root = temporaryDirectory()
    makeDirectory(`${root}/${path}`)
    expect(statSync(`${root}/a/b`).isDirectory()).toBe(true)
  })

  it.each(['state', 'state/leases', './state/leases'])('makes %s, named from the working directory', (path) => {
    const home = process.cwd()
    const root = temporaryDirectory()
    process.chdir(root)
    try {
      makeDirectory(path)
    } finally {
      process.chdir(home)
    }
    expect(modeOf(`${root}/${path}`)).toBe(0o700)
  })

  it('fails when a file is in the way', () => {
    const root = temporaryDirectory()
    writeFileSync(`${root}/file`, '')
    const error = thrownBy(() => makeDirectory(`${root}/file/a`))
    expect(isErrno(error, 'ENOTDIR', 'EEXIST')).toBe(true)
  })
})

describe('writeDurable()', () => {
  it('writes a file for the owner alone', () => {
    const path = `${temporaryDirectory()}/new`
    writeDurable(path, 'inhalt \u00e4\u{1F6A2}\n')
    expect([readFileSync(path, 'utf8'), modeOf(path)]).toEqual(['inhalt \u00e4\u{1F6A2}\n', 0o600])
  })

  it('writes all of a content that is larger than a pipe or a page', () => {
    const path = `${temporaryDirectory()}/new`
    const content = '\u00e4'.repeat(3_000_000)
    writeDurable(path, content)
    expect(readFileSync(path, 'utf8') === content).toBe(true)
  })

  it('replaces a file that a killed process left, and does not write into it', () => {
    const root = temporaryDirectory()
    writeFileSync(`${root}/new`, 'a longer content of old')
    chmodSync(`${root}/new`, 0o666)
    // The other name of the old file is the address of somebody else.
    linkSync(`${root}/new`, `${root}/10.0.0.1`)
    writeDurable(`${root}/new`, 'short')
    expect([readFileSync(`${root}/new`, 'utf8'), modeOf(`${root}/new`)]).toEqual(['short', 0o600])
    expect(readFileSync(`${root}/10.0.0.1`, 'utf8')).toBe('a longer content of old')
  })

  it.each([
    ['a file', 'victim'],
    ['nothing', 'absent'],
  ])('does not follow a symlink that leads to %s', (_, target) => {
    const root = temporaryDirectory()
    writeFileSync(`${root}/victim`, 'precious')
    symlinkSync(`${root}/${target}`, `${root}/new`)
    writeDurable(`${root}/new`, 'content')
    expect(lstatSync(`${root}/new`).isFile()).toBe(true)
    expect(readFileSync(`${root}/victim`, 'utf8')).toBe('precious')
    expect(readdirSync(root).sort()).toEqual(['new', 'victim'])
  })

  it('fails when a directory has that name, and leaves it', () => {
    const root = temporaryDirectory()
    mkdirSync(`${root}/new`)
    expect(thrownBy(() => writeDurable(`${root}/new`, 'content'))).toBeInstanceOf(Error)
    expect(statSync(`${root}/new`).isDirectory()).toBe(true)
  })

  it('fails when the directory is missing', () => {
    const error = thrownBy(() => writeDurable(`${temporaryDirectory()}/absent/new`, 'content'))
    expect(isErrno(error, 'ENOENT')).toBe(true)
  })
})

describe('linkExclusive()', () => {
  it('gives a file one more name', () => {
    const root = temporaryDirectory()
    writeFileSync(`${root}/file`, 'content')
    expect(linkExclusive(`${root}/file`, `${root}/name`)).toBe(true)
    expect(lstatSync(`${root}/name`).ino).toBe(lstatSync(`${root}/file`).ino)
  })

  it('says no and changes nothing when a file has the name', () => {
    const root = temporaryDirectory()
    writeFileSync(`${root}/file`, 'content')
    writeFileSync(`${root}/name`, 'of another')
    expect(linkExclusive(`${root}/file`, `${root}/name`)).toBe(false)
    expect(readFileSync(`${root}/name`, 'utf8')).toBe('of another')
  })

  it('says no when a symlink has the name, also one that leads nowhere', () => {
    const root = temporaryDirectory()
    writeFileSync(`${root}/file`, 'content')
    symlinkSync(`${root}/absent`, `${root}/name`)
    expect(linkExclusive(`${root}/file`, `${root}/name`)).toBe(false)
    expect([readlinkSync(`${root}/name`), existsSync(`${root}/absent`)]).toEqual([`${root}/absent`, false])
  })

  it('fails when there is no such file', () => {
    const root = temporaryDirectory()
    expect(
      isErrno(
        thrownBy(() => linkExclusive(`${root}/absent`, `${root}/name`)),
        'ENOENT',
      ),
    ).toBe(true)
  })
})

describe('createExclusive()', () => {
  let directory: string
  beforeEach(() => {
    directory = temporaryDirectory()
  })
  const names = (): string[] => readdirSync(directory).sort()
  const create = (): boolean => createExclusive(`${directory}/name`, `${directory}/.new`, 'whole')

  /** Link as a network file system may answer it: the request was carried out, or not, and the reply is this. */
  function answering(code: string, made: boolean): void {
    const { linkSync } = fs
    onTestFinished(() => {
      Object.assign(fs, { linkSync })
      syncBuiltinESMExports()
    })
    const answer = (existing: string, name: string): void => {
      if (made) linkSync(existing, name)
      throw Object.assign(new Error(code), { code })
    }
    Object.assign(fs, { linkSync: answer })
    syncBuiltinESMExports()
  }

  it('makes the name once, with its content, and leaves no other', () => {
    writeFileSync(`${directory}/.new`, 'what a killed process left')
    expect([create(), create()]).toEqual([true, false])
    expect(names()).toEqual(['name'])
    expect([readFileSync(`${directory}/name`, 'utf8'), modeOf(`${directory}/name`)]).toEqual(['whole', 0o600])
  })

  it.each(['EEXIST', 'EIO', 'ETIMEDOUT'])(
    'has made the name when only the reply was lost and %s came instead',
    (code) => {
      answering(code, true)
      expect(create()).toBe(true)
      expect(names()).toEqual(['name'])
    },
  )

  it('fails and leaves nothing when the name cannot be made', () => {
    answering('EIO', false)
    expect(thrownBy(create)).toMatchObject({ code: 'EIO' })
    expect(names()).toEqual([])
  })
})

describe('removeName()', () => {
  it('removes one name of a file and says whether it was there', () => {
    const root = temporaryDirectory()
    writeFileSync(`${root}/file`, 'content')
    linkSync(`${root}/file`, `${root}/name`)
    expect([removeName(`${root}/name`), removeName(`${root}/name`)]).toEqual([true, false])
    expect(readFileSync(`${root}/file`, 'utf8')).toBe('content')
  })

  it('fails when the name is that of a directory', () => {
    const root = temporaryDirectory()
    mkdirSync(`${root}/name`)
    expect(
      isErrno(
        thrownBy(() => removeName(`${root}/name`)),
        'EISDIR',
        'EPERM',
      ),
    ).toBe(true)
  })
})

describe('readIfExists()', () => {
  const enough = 1000

  it('gives the text of a file, and undefined when there is none', () => {
    const root = temporaryDirectory()
    writeFileSync(`${root}/file`, 'text \u00e4')
    symlinkSync(`${root}/absent`, `${root}/dangling`)
    const read = ['file', 'absent', 'dangling'].map((name) => readIfExists(`${root}/${name}`, enough))
    expect(read).toEqual(['text \u00e4', undefined, ''])
  })

  it('waits for nothing and reads as empty what is no small regular file', () => {
    const root = temporaryDirectory()
    execFileSync('mkfifo', [`${root}/pipe`])
    mkdirSync(`${root}/folder`)
    writeFileSync(`${root}/large`, 'x'.repeat(enough + 1))
    symlinkSync('/dev/zero', `${root}/endless`)
    const read = ['pipe', 'folder', 'large', 'endless'].map((name) => readIfExists(`${root}/${name}`, enough))
    expect(read).toEqual(['', '', '', ''])
  })
})

describe('syncDirectory()', () => {
  it('fails when there is no such directory', () => {
    const root = temporaryDirectory()
    writeFileSync(`${root}/file`, '')
    expect(
      isErrno(
        thrownBy(() => syncDirectory(`${root}/absent`)),
        'ENOENT',
      ),
    ).toBe(true)
    expect(
      isErrno(
        thrownBy(() => syncDirectory(`${root}/file`)),
        'ENOTDIR',
      ),
    ).toBe(true)
    expect(thrownBy(() => syncDirectory(root))).toBeUndefined()
  })
})
