import { describe, expect, it } from 'vitest'
import { ifinfomsg, ifinfomsgBytes } from '../../../shared/host/links.ts'
import { Message } from '../../../shared/host/netlink.ts'
import { differingFrom, namesOf, spellAttribute, vfInAnswer } from '../../../shared/host/vf-attributes.ts'

const [NUM_VF, VFINFO_LIST, STATS64, VF_INFO] = [21, 22, 23, 1]
const [MAC, VLAN, SPOOFCHK, LINK_STATE, RATE, TRUST, VLAN_LIST] = [1, 2, 4, 5, 6, 9, 12]
const headerBytes = 16

const numbers = (...values: number[]): Buffer => Buffer.from(Uint32Array.from(values).buffer)

/** What the kernel answers about a PF: as it does it, the length of the list is cut to 16 bits. */
function answer(vfs: readonly ((info: Message) => void)[]): Buffer {
  const message = new Message(16).fixed(ifinfomsg(7)).u32(NUM_VF, vfs.length)
  const lists = vfs.map((fill) => {
    const list = new Message(0).nested(VF_INFO, fill).finish(0, false)
    return Buffer.from(list.subarray(headerBytes))
  })
  const entries = Buffer.concat(lists)
  const list = Buffer.alloc(4)
  list.writeUInt16LE((entries.length + 4) & 0xffff)
  list.writeUInt16LE(VFINFO_LIST | 0x8000, 2)
  const head = Buffer.from(message.finish(0, false).subarray(headerBytes))
  const tail = new Message(0).attribute(STATS64, Buffer.alloc(192)).finish(0, false).subarray(headerBytes)
  return Buffer.concat([head, list, entries, tail])
}

const plain =
  (vf: number) =>
  (info: Message): void => {
    const mac = Buffer.alloc(36)
    mac.writeUInt32LE(vf)
    mac.set([2, 0, 0, 0, vf >> 8, vf & 0xff], 4)
    info
      .attribute(MAC, mac)
      .attribute(VLAN, numbers(vf, 100, 3))
      .attribute(RATE, numbers(vf, 10, 200))
      .attribute(SPOOFCHK, numbers(vf, 1))
      .attribute(LINK_STATE, numbers(vf, 2))
      .attribute(TRUST, numbers(vf, 0xffffffff))
      // Statistics, which kernels before 6.4 do not leave out.
      .attribute(8, Buffer.alloc(144))
  }

describe('vfInAnswer()', () => {
  it('reads what the PF has for the VF, and leaves out what its driver does not tell', () => {
    expect(vfInAnswer(answer([plain(0), plain(1)]), 1)).toEqual({
      mac: '02:00:00:00:00:01',
      vlan: { id: 100, qos: 3, protocol: '802.1q' },
      rate: { minMbps: 10, maxMbps: 200 },
      spoofCheck: true,
      linkState: 'disable',
      trust: undefined,
    })
  })

  it('finds the last of 256 VFs, whose list is longer than an attribute may say', () => {
    const body = answer(Array.from({ length: 256 }, (_, vf) => plain(vf)))
    expect(body.length).toBeGreaterThan(65536)
    expect(vfInAnswer(body, 255)?.mac).toBe('02:00:00:00:00:ff')
    expect(vfInAnswer(body, 256)).toBeUndefined()
  })

  it('knows the protocol of a VLAN where the kernel tells it', () => {
    const service = (info: Message): void => {
      plain(0)(info)
      const vlan = Buffer.concat([numbers(0, 200, 5), Buffer.from([0x88, 0xa8, 0, 0])])
      info.nested(VLAN_LIST, (list) => list.attribute(1, vlan))
    }
    expect(vfInAnswer(answer([service]), 0)?.vlan).toEqual({ id: 200, qos: 5, protocol: '802.1ad' })
  })

  it('finds nothing of a VF that the PF leaves out', () => {
    const body = answer([plain(0), plain(1)])
    // One more than are described: what stands behind the list begins like a VF of that number.
    body.writeUInt32LE(3, ifinfomsgBytes + 4)
    body.writeUInt32LE(2, body.length - 192 + 4)
    body.writeUInt32LE(0x0001_0028, body.length - 192)
    expect(vfInAnswer(body, 2)).toBeUndefined()
  })

  it('finds nothing in an answer that has no VFs, or is cut', () => {
    expect(vfInAnswer(answer([]), 0)).toBeUndefined()
    const body = answer([plain(0), plain(1)])
    for (let length = 0; length < body.length; length += 4) vfInAnswer(body.subarray(0, length), 1)
  })
})

describe('differingFrom() and spellAttribute()', () => {
  const wanted = { mac: '02:00:00:00:00:01', vlan: { id: 5, qos: 0, protocol: '802.1q' }, trust: false } as const

  it('keep what is wanted and not there', () => {
    expect(differingFrom({ ...wanted, trust: true, spoofCheck: true }, wanted)).toEqual({ trust: false })
    expect(namesOf(differingFrom({}, wanted))).toEqual(['mac', 'vlan', 'trust'])
  })

  it('write values as the config does', () => {
    expect(spellAttribute('vlan', wanted)).toBe('5')
    expect(spellAttribute('vlan', { vlan: { id: 5, qos: 3, protocol: '802.1ad' } })).toBe('5 qos 3 802.1ad')
    expect(spellAttribute('trust', wanted)).toBe('off')
    expect(spellAttribute('rate', {})).toBe('unknown')
  })
})
