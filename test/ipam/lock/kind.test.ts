import { describe, expect, it } from 'vitest'
import { lockKindOf } from '../../../ipam/lock/index.ts'
import { lockKindOfType } from '../../../ipam/lock/kind.ts'
import { temporaryDirectory } from '../../shared/temporary.ts'

describe('lockKindOfType()', () => {
  it.each([
    ['NFS', 0x6969],
    ['CIFS', 0xff534d42],
    ['CIFS, as a negative number', 0xff534d42 - 2 ** 32],
    ['SMB', 0xfe534d42],
    ['CephFS', 0x00c36400],
    ['9p', 0x01021997],
    ['FUSE', 0x65735546],
    ['GFS2', 0x01161970],
    ['OCFS2', 0x7461636f],
    ['Lustre', 0x0bd00bd0],
  ])('is shared when the file system is %s', (_, type) => expect(lockKindOfType(type)).toBe('shared'))

  it.each([
    ['ext4', 0xef53],
    ['XFS', 0x58465342],
    ['Btrfs', 0x9123683e],
    ['tmpfs', 0x01021994],
    ['overlayfs', 0x794c7630],
  ])('is that of the kernel when the file system is %s', (_, type) => expect(lockKindOfType(type)).toBe('kernel'))
})

describe('lockKindOf()', () => {
  it('asks the directory’s file system', () => expect(lockKindOf('/proc')).toBe('kernel'))

  it('fails when there is no directory', () => {
    expect(() => lockKindOf(`${temporaryDirectory()}/absent`)).toThrow(/ENOENT/)
  })
})
