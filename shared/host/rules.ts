/** Rules of policy routing over rtnetlink (linux/fib_rules.h): which table leads what comes from an address, or goes to one. */
import { familyBits, formatIp, type Ip, ipBytes, ipFromBytes, sameIp } from '../address.ts'
import { SystemError } from './libc.ts'
import {
  type Answer,
  addressFamily,
  Message,
  type NetlinkSocket,
  netlinkFlags,
  ownProtocol,
  readAttributes,
  type Step,
} from './netlink.ts'

const RTM_NEWRULE = 32
const RTM_DELRULE = 33
const RTM_GETRULE = 34
const FRA = { DST: 1, SRC: 2, PRIORITY: 6, TABLE: 15, PROTOCOL: 21 } as const
const FR_ACT_TO_TBL = 1
const ruleBytes = 12

/** `from <ip>/32 lookup <table>`, or `to`; /128. */
export interface Rule {
  readonly direction: 'from' | 'to'
  readonly ip: Ip
  readonly table: number
  /** The lower ones first; the main table is asked at 32766. Undefined: in front of those that are there. */
  readonly priority?: number
}

interface ListedRule extends Rule {
  readonly priority: number
  /** This program made it. */
  readonly own: boolean
}

const describe = ({ direction, ip, table }: Rule): string => `${direction} "${formatIp(ip)}" to table ${table}`

function ruleMessage(type: number, flags: number, { direction, ip, table, priority }: Rule): Message {
  const fixed = Buffer.alloc(ruleBytes)
  fixed[0] = addressFamily(ip.family)
  fixed[direction === 'to' ? 1 : 2] = familyBits(ip.family)
  fixed[7] = FR_ACT_TO_TBL
  const message = new Message(type, flags)
    .fixed(fixed)
    .attribute(direction === 'to' ? FRA.DST : FRA.SRC, ipBytes(ip))
    .u32(FRA.TABLE, table)
  if (priority !== undefined) message.u32(FRA.PRIORITY, priority)
  return message
}

/** Adds the rule. */
export function addRule(rule: Rule): Step {
  const message = ruleMessage(RTM_NEWRULE, netlinkFlags.create, rule)
  return { what: `add rule ${describe(rule)}`, message: message.attribute(FRA.PROTOCOL, Uint8Array.of(ownProtocol)) }
}

export function removeRule(rule: ListedRule): Step {
  return { what: `remove rule ${describe(rule)}`, message: ruleMessage(RTM_DELRULE, 0, rule) }
}

/** The kernel's list of all families at once; empty where it has no policy routing. */
function dumpRules(socket: NetlinkSocket): Answer[] {
  try {
    return socket.request('list rules', new Message(RTM_GETRULE, netlinkFlags.dump).fixed(Buffer.alloc(ruleBytes)))
  } catch (error) {
    if (error instanceof SystemError && ['ENOTSUP', 'EAFNOSUPPORT'].includes(error.code)) return []
    throw error
  }
}

/** Of the families that have rules, the two of IP count. */
const wholeAddressBits = (family: number | undefined): number | undefined =>
  ([4, 6] as const).map((ip) => (addressFamily(ip) === family ? familyBits(ip) : 0)).find((bits) => bits > 0)

/** All rules that look at one whole address and nothing else of it, both families. */
export function listRules(socket: NetlinkSocket): ListedRule[] {
  return dumpRules(socket).flatMap(({ type, body }) => {
    const direction = body[1] === 0 ? 'from' : 'to'
    const bits = direction === 'to' ? [body[1], body[2]] : [body[2], body[1]]
    if (type !== RTM_NEWRULE || bits[0] !== wholeAddressBits(body[0]) || bits[1] !== 0) return []
    const attributes = readAttributes(body, ruleBytes)
    const ip = attributes.get(direction === 'to' ? FRA.DST : FRA.SRC)
    if (ip === undefined) return []
    return [
      {
        direction,
        ip: ipFromBytes(ip),
        table: attributes.get(FRA.TABLE)?.readUInt32LE(0) ?? body[4] ?? 0,
        priority: attributes.get(FRA.PRIORITY)?.readUInt32LE(0) ?? 0,
        own: attributes.get(FRA.PROTOCOL)?.[0] === ownProtocol,
      },
    ]
  })
}

/** Whether a listed rule does what another one says. */
export const isSameRule = (one: Rule, other: Rule): boolean =>
  one.direction === other.direction && one.table === other.table && sameIp(one.ip, other.ip)
