/** An order that is damaged, torn or cannot be written costs a search and nothing else. */
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { FileStore } from '../../../ipam/ledger/file-store.ts'
import { formatIp, spanContains } from '../../../shared/address.ts'
import { keyOf, recordOf } from '../../contract/records.ts'
import { ip } from '../../shared/addresses.ts'
import { asOrdinaryUser } from '../../shared/ordinary.ts'
import { temporaryDirectory } from '../../shared/temporary.ts'
import { spanOf } from '../plans.ts'

const nowMs = 1_700_000_000_000
const span = spanOf('10.0.0.8/29')
const everything = ['8', '9', '10', '11', '12', '13', '14', '15'].map((host) => `10.0.0.${host}`)

let dataDir: string
let store: FileStore
let path: string
beforeEach(() => {
  dataDir = temporaryDirectory()
  store = new FileStore(dataDir)
  path = `${dataDir}/order/10.0.0.8-10.0.0.15`
})

function take(count: number): string[] {
  return store.locked(() => {
    const order = store.order('default', span)
    const taken: string[] = []
    for (const one of order.candidates({ key: keyOf('new'), blocked: [], coolDownMs: 30_000, nowMs })) {
      expect(spanContains(span, one)).toBe(true)
      if (!store.isHeld('default', one)) taken.push(formatIp(one))
      if (taken.length === count) break
    }
    order.save()
    return taken
  })
}
/** Whatever the file says: every free address comes, and no other. */
const takeAll = (): string[] => [...new Set(take(1000))].sort((a, b) => (ip(a).value < ip(b).value ? -1 : 1))

/** Three addresses freed long ago, two held, three never given; the order knows all that. */
function fill(): void {
  take(5)
  store.locked(() => {
    for (const host of [8, 9, 10, 11, 12]) store.put([recordOf(keyOf(`c${host}`), [`10.0.0.${host}/24`])])
    for (const host of [8, 10, 12]) store.remove(keyOf(`c${host}`), nowMs - 100_000 + host)
  })
}
const left = everything.filter((address) => address !== '10.0.0.9' && address !== '10.0.0.11')

describe('FileOrder with a damaged file', () => {
  const entry = '1699999900008 10.0.0.8 storage,c8,net1\n'
  const head = (next: string, byte: string) => `${`berth-order 1 next ${next} head ${byte}`.padEnd(127)}\n`

  it.each<[string, string]>([
    ['empty', ''],
    ['shorter than its header', 'berth-order 1 next 10.0'],
    ['of zeros', '\0'.repeat(4096)],
    ['of more zeros than it reads at a time', `${head('none', '128')}${'\0'.repeat(100_000)}`],
    ['of another format', `${head('10.0.0.13', '128').replace('1', '2')}${entry}`],
    ['one whose next is of another span', `${head('10.9.9.9', '128')}${entry}`],
    ['one whose next is no address', `${head('10.0.0', '128')}${entry}`],
    ['one whose next is of another family', `${head('fd00::1', '128')}${entry}`],
    ['one whose head lies behind its end', `${head('none', '999999')}${entry}`],
    ['one whose head lies in its header', `${head('none', '3')}${entry}`],
    ['one whose head lies within a line', `${head('none', '142')}${entry}`],
    ['one with a torn last line', `${head('10.0.0.13', '128')}${entry}169999990000`],
    ['one with a torn line before others', `${head('10.0.0.13', '128')}1699 10.0.0.1${entry}`],
    ['one with addresses of another span', `${head('none', '128')}0 10.0.1.8 -\n0 fd00::8 -\n0 10.0.0.16 -\n`],
    ['one with held addresses only', `${head('none', '128')}0 10.0.0.9 -\n0 10.0.0.11 -\n`],
    ['one with times that are none', `${head('none', '128')}x 10.0.0.8 -\n 10.0.0.8 -\n-5 10.0.0.8 -\n`],
  ])('gives every free address and no other when it is %s', (_, text) => {
    fill()
    writeFileSync(path, text)
    expect(takeAll()).toEqual(left)
    expect(readFileSync(path, 'latin1')).toMatch(/^berth-order 1 next \S+ head \d+ *\n/)
  })

  it('gives every free address and no other when any bytes of it are others', () => {
    fill()
    const whole = readFileSync(path)
    const changes = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(changes, fc.nat(whole.length), (changed, length) => {
        const bytes = Buffer.from(whole)
        for (const [at, byte] of changed) bytes[at] = byte
        writeFileSync(path, bytes.subarray(0, length % 2 === 0 ? length : undefined))
        expect(takeAll()).toEqual(left)
      }),
      { numRuns: 300 },
    )
  })

  it('gives every free address when it was removed', () => {
    fill()
    rmSync(`${dataDir}/order`, { recursive: true })
    expect(takeAll()).toEqual(left)
  })

  it('goes on behind a line whose time is none, so that what was freed behind it comes before the never given', () => {
    take(2)
    writeFileSync(path, `${head('10.0.0.10', '128')}x 10.0.0.9 -\n${entry}`)
    expect(take(1)).toEqual(['10.0.0.8'])
  })

  it('goes on behind zeros that a power cut left, however many', () => {
    take(2)
    writeFileSync(path, `${head('10.0.0.10', '128')}${'\0'.repeat(200_000)}\n${entry}`)
    expect(take(1)).toEqual(['10.0.0.8'])
  })

  it('goes on behind as many bytes without a line feed as the longest line has', () => {
    take(2)
    writeFileSync(path, `${head('10.0.0.10', '128')}${'y'.repeat(65_536 - 321)}\n${'x'.repeat(400)}\n${entry}`)
    expect(take(1)).toEqual(['10.0.0.8'])
  })

  it('gives what is freed after a head that lay behind its end, before the never given', () => {
    fill()
    writeFileSync(path, head('10.0.0.13', '999999'))
    store.locked(() => store.remove(keyOf('c9'), nowMs - 50_000))
    expect(take(1)).toEqual(['10.0.0.9'])
  })

  it('takes no head from a file of another span', () => {
    take(2)
    const freed = entry.replace('10.0.0.8', '10.0.0.12')
    writeFileSync(path, `${head('10.9.9.9', String(128 + freed.length))}${freed}`)
    expect(take(1)).toEqual(['10.0.0.12'])
  })

  it('gives what was freed after a torn line', () => {
    fill()
    writeFileSync(path, `${readFileSync(path, 'utf8')}1699999900009 10.0.0`)
    store.locked(() => store.remove(keyOf('c9'), nowMs - 50_000))
    store.locked(() => store.remove(keyOf('c11'), nowMs - 50_000))
    expect(takeAll()).toEqual(everything)
  })
})

describe('FileOrder that cannot be written', () => {
  it('fails no release, and loses no address, when its file may only be read', () => {
    asOrdinaryUser(dataDir, () => {
      fill()
      chmodSync(path, 0o400)
      expect(store.locked(() => store.remove(keyOf('c9'), nowMs))).toBe(true)
      expect(store.isHeld('default', ip('10.0.0.9'))).toBe(false)
      expect(take(1)).toEqual(['10.0.0.8'])
      chmodSync(path, 0o600)
      expect(takeAll()).toEqual(everything.filter((address) => address !== '10.0.0.11'))
    })
  })

  it('gives what it finds by a look at all names when it cannot note that', () => {
    asOrdinaryUser(dataDir, () => {
      fill()
      takeAll()
      chmodSync(`${dataDir}/order`, 0o500)
      expect(takeAll()).toEqual(left)
      chmodSync(`${dataDir}/order`, 0o700)
    })
  })
})
