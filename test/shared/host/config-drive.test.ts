import { describe, expect, it } from 'vitest'
import { typeOfDrive } from '../../../shared/host/config-drive.ts'

const head = (...texts: [number, string][]): Buffer => {
  const bytes = Buffer.alloc(34_816)
  for (const [at, text] of texts) bytes.write(text, at, 'latin1')
  return bytes
}
const iso = (label: string): Buffer => head([32_769, 'CD001'], [32_808, label.padEnd(32)])
const fat16 = (label: string): Buffer => head([54, 'FAT16   '], [43, label.padEnd(11)])
const fat32 = (label: string): Buffer => head([82, 'FAT32   '], [71, label.padEnd(11)])

describe('typeOfDrive()', () => {
  it.each([
    ['an ISO image', iso('config-2'), 'iso9660'],
    ['FAT16', fat16('config-2'), 'vfat'],
    ['FAT32 in capitals', fat32('CONFIG-2'), 'vfat'],
  ] as const)('knows %s with the label', (_, bytes, type) => {
    expect(typeOfDrive(bytes)).toBe(type)
  })

  it.each([
    ['an ISO image with another label', iso('config-20')],
    ['FAT with another label', fat16('NO NAME')],
    ['another file system', head([1080, '\x53\xef'])],
    ['nothing', Buffer.alloc(34_816)],
    ['too few bytes', Buffer.alloc(512)],
  ])('finds no drive in %s', (_, bytes) => {
    expect(typeOfDrive(bytes)).toBeUndefined()
  })

  it('takes the word of who knows the label', () => {
    expect([typeOfDrive(iso('other'), true), typeOfDrive(fat16(''), true), typeOfDrive(head(), true)]).toEqual([
      'iso9660',
      'vfat',
      undefined,
    ])
  })
})
