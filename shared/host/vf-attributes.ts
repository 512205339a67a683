/**
 * What a PF knows of one of its VFs and imposes on it (IFLA_VFINFO_LIST of linux/if_link.h; ip-link(8), "vf"). The kernel describes
 * all VFs of a PF at once or none; what is set is one message, whatever it is.
 */
import { formatMac, IFLA, ifinfomsg, ifinfomsgBytes, macBytes, RTEXT_FILTER_SKIP_STATS, RTM_GETLINK } from './links.ts'
import { Message, readAttributes } from './netlink.ts'
import { nodeNetns } from './netns.ts'
import { requestInThread } from './thread-request.ts'

const RTM_SETLINK = 19
const RTEXT_FILTER_VF = 1
const IFLA_NUM_VF = 21
const IFLA_VFINFO_LIST = 22
const IFLA_VF_INFO = 1
const IFLA_VF = { MAC: 1, VLAN: 2, SPOOFCHK: 4, LINK_STATE: 5, RATE: 6, TRUST: 9, VLAN_LIST: 12 } as const
const IFLA_VF_VLAN_INFO = 1
/** MAX_ADDR_LEN of linux/netdevice.h: a MAC in these messages has room for the longest one. */
const macRoomBytes = 32
/** What a driver that does not tell leaves in the answer. */
const unknown = 0xffffffff

const linkStates = ['auto', 'enable', 'disable'] as const
type LinkState = (typeof linkStates)[number]

/** ETH_P_8021Q and ETH_P_8021AD of linux/if_ether.h. */
const vlanProtocols = { '802.1q': 0x8100, '802.1ad': 0x88a8 } as const
type VlanProtocol = keyof typeof vlanProtocols

export interface VfVlan {
  /** 0: none; frames pass as they are. */
  readonly id: number
  readonly qos: number
  readonly protocol: VlanProtocol
}

/** An attribute that is undefined is not known, or shall stay as it is. */
export interface VfAttributes {
  /** The MAC that the PF gives the VF; all zeros: none. */
  readonly mac?: string | undefined
  readonly vlan?: VfVlan | undefined
  /** 0: no limit. */
  readonly rate?: { readonly minMbps: number; readonly maxMbps: number } | undefined
  readonly spoofCheck?: boolean | undefined
  readonly linkState?: LinkState | undefined
  readonly trust?: boolean | undefined
}
type AttributeName = keyof VfAttributes

/** What the config calls them, in the order in which the kernel sets them. */
export const attributeKeys: Record<AttributeName, string> = {
  mac: 'mac',
  vlan: 'vlan',
  rate: 'min_tx_rate and max_tx_rate',
  spoofCheck: 'spoofchk',
  linkState: 'link_state',
  trust: 'trust',
}
const attributeNames = ['mac', 'vlan', 'rate', 'spoofCheck', 'linkState', 'trust'] as const satisfies AttributeName[]

/** A VF as its PF numbers it. */
export interface VfOfPf {
  readonly pfIndex: number
  /** For messages. */
  readonly pfName: string
  readonly vf: number
}

export const namesOf = (attributes: VfAttributes): AttributeName[] =>
  attributeNames.filter((name) => attributes[name] !== undefined)

/** Those attributes that have a value in `wanted` and another one in `found`. */
export function differingFrom(found: VfAttributes, wanted: VfAttributes): VfAttributes {
  const differs = (name: AttributeName): boolean => JSON.stringify(found[name]) !== JSON.stringify(wanted[name])
  return Object.fromEntries(
    namesOf(wanted)
      .filter(differs)
      .map((name) => [name, wanted[name]]),
  )
}

const spellVlan = ({ id, qos, protocol }: VfVlan): string =>
  `${id}${qos === 0 ? '' : ` qos ${qos}`}${protocol === '802.1q' ? '' : ` ${protocol}`}`

const spellSwitch = (on: boolean | undefined): string | undefined => (on === undefined ? undefined : on ? 'on' : 'off')

/** An attribute's value as the config writes it. */
export function spellAttribute(name: AttributeName, attributes: VfAttributes): string {
  const { mac, vlan, rate, spoofCheck, linkState, trust } = attributes
  const spelled: Record<AttributeName, string | undefined> = {
    mac,
    vlan: vlan && spellVlan(vlan),
    rate: rate && `${rate.minMbps} and ${rate.maxMbps}`,
    spoofCheck: spellSwitch(spoofCheck),
    linkState,
    trust: spellSwitch(trust),
  }
  return spelled[name] ?? 'unknown'
}

/** Numbers as the kernel's structs of them have them, the VF's first. */
function numbers(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [place, value] of values.entries()) bytes.writeUInt32LE(value, 4 * place)
  return bytes
}

/** struct ifla_vf_vlan_info: the protocol stands in network byte order, and two bytes follow it. */
function vlanInfo(vf: number, { id, qos, protocol }: VfVlan): Buffer {
  const bytes = Buffer.concat([numbers(vf, id, qos), Buffer.alloc(4)])
  bytes.writeUInt16BE(vlanProtocols[protocol], 12)
  return bytes
}

function appendAttributes(message: Message, vf: number, attributes: VfAttributes): void {
  const { mac, vlan, rate, spoofCheck, linkState, trust } = attributes
  if (mac !== undefined) {
    const room = Buffer.alloc(macRoomBytes)
    room.set(macBytes(mac))
    message.attribute(IFLA_VF.MAC, Buffer.concat([numbers(vf), room]))
  }
  if (vlan !== undefined) {
    message.nested(IFLA_VF.VLAN_LIST, (list) => list.attribute(IFLA_VF_VLAN_INFO, vlanInfo(vf, vlan)))
  }
  if (rate !== undefined) message.attribute(IFLA_VF.RATE, numbers(vf, rate.minMbps, rate.maxMbps))
  if (spoofCheck !== undefined) message.attribute(IFLA_VF.SPOOFCHK, numbers(vf, spoofCheck ? 1 : 0))
  if (linkState !== undefined) message.attribute(IFLA_VF.LINK_STATE, numbers(vf, linkStates.indexOf(linkState)))
  if (trust !== undefined) message.attribute(IFLA_VF.TRUST, numbers(vf, trust ? 1 : 0))
}

/** Sets all of them in one message. Throws SystemError when the kernel refuses one: those before it are set then. */
export async function setVf({ pfIndex, pfName, vf }: VfOfPf, attributes: VfAttributes): Promise<void> {
  const message = new Message(RTM_SETLINK).fixed(ifinfomsg(pfIndex)).nested(IFLA_VFINFO_LIST, (list) => {
    list.nested(IFLA_VF_INFO, (info) => appendAttributes(info, vf, attributes))
  })
  await requestInThread(nodeNetns(), `set VF ${vf} of "${pfName}"`, message)
}

const numberAt = (bytes: Buffer | undefined, place: number): number | undefined =>
  bytes === undefined || bytes.length < 4 * place + 4 ? undefined : bytes.readUInt32LE(4 * place)

function readVlan(info: ReadonlyMap<number, Buffer>): VfVlan | undefined {
  const listed = readAttributes(info.get(IFLA_VF.VLAN_LIST) ?? Buffer.alloc(0), 0).get(IFLA_VF_VLAN_INFO)
  const bytes = listed ?? info.get(IFLA_VF.VLAN)
  const id = numberAt(bytes, 1)
  if (bytes === undefined || id === undefined) return undefined
  const isAd = listed !== undefined && listed.length >= 14 && listed.readUInt16BE(12) === vlanProtocols['802.1ad']
  return { id, qos: numberAt(bytes, 2) ?? 0, protocol: isAd ? '802.1ad' : '802.1q' }
}

function readSwitch(bytes: Buffer | undefined): boolean | undefined {
  const value = numberAt(bytes, 1)
  return value === undefined || value === unknown ? undefined : value !== 0
}

function readInfo(entry: Buffer): VfAttributes {
  const info = readAttributes(entry, 0)
  const [rate, linkState] = [info.get(IFLA_VF.RATE), numberAt(info.get(IFLA_VF.LINK_STATE), 1)]
  const [minMbps, maxMbps] = [numberAt(rate, 1), numberAt(rate, 2)]
  return {
    mac: formatMac(info.get(IFLA_VF.MAC)?.subarray(4, 10) ?? Buffer.alloc(6)),
    vlan: readVlan(info),
    rate: minMbps === undefined || maxMbps === undefined ? undefined : { minMbps, maxMbps },
    spoofCheck: readSwitch(info.get(IFLA_VF.SPOOFCHK)),
    linkState: linkStates[linkState ?? -1],
    trust: readSwitch(info.get(IFLA_VF.TRUST)),
  }
}

/**
 * The description of one VF in that of its PF. The list of them is walked by its entries: with many VFs it is longer than the 16 bits in
 * which an attribute has its length.
 */
export function vfInAnswer(body: Buffer, vf: number): VfAttributes | undefined {
  const count = readAttributes(body, ifinfomsgBytes).get(IFLA_NUM_VF)?.readUInt32LE(0) ?? 0
  let at = ifinfomsgBytes
  while (at + 4 <= body.length && (body.readUInt16LE(at + 2) & 0x3fff) !== IFLA_VFINFO_LIST) {
    const length = body.readUInt16LE(at)
    if (length < 4) return undefined
    at += (length + 3) & ~3
  }
  at += 4
  for (let seen = 0; seen < count && at + 4 <= body.length; seen++) {
    const length = body.readUInt16LE(at)
    // A PF may leave some of its VFs out: behind the list there is something else then.
    if (length < 4 || (body.readUInt16LE(at + 2) & 0x3fff) !== IFLA_VF_INFO) return undefined
    const entry = body.subarray(at + 4, at + length)
    if (readAttributes(entry, 0).get(IFLA_VF.MAC)?.readUInt32LE(0) === vf) return readInfo(entry)
    at += (length + 3) & ~3
  }
  return undefined
}

/** What the PF has for the VF; undefined when it has no such VF. Costs the kernel more the more VFs there are: ask once. */
export async function readVf({ pfIndex, pfName, vf }: VfOfPf): Promise<VfAttributes | undefined> {
  const mask = RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS
  const message = new Message(RTM_GETLINK).fixed(ifinfomsg(pfIndex)).u32(IFLA.EXT_MASK, mask)
  const [answer] = await requestInThread(nodeNetns(), `look up the VFs of "${pfName}"`, message)
  return answer === undefined ? undefined : vfInAnswer(answer.body, vf)
}
