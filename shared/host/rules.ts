/** Rules of policy routing over rtnetlink (linux/fib_rules.h): by its source, an address has a table of its own. */
import { familyBits, formatIp, type Ip, ipBytes, ipFromBytes } from '../address.ts'
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
const FRA = { SRC: 2, PRIORITY: 6, TABLE: 15, PROTOCOL: 21 } as const
const FR_ACT_TO_TBL = 1
const ruleBytes = 12

/** `from <source>/32 lookup <table>`, or /128. */
export interface SourceRule {
  readonly source: Ip
  readonly table: number
}

interface ListedRule extends SourceRule {
  readonly priority: number
  /** This program made it. */
  readonly own: boolean
}

function header({ source }: SourceRule): Buffer {
  const fixed = Buffer.alloc(ruleBytes)
  fixed[0] = addressFamily(source.family)
  fixed[2] = familyBits(source.family)
  fixed[7] = FR_ACT_TO_TBL
  return fixed
}

/** Adds the rule in front of those that are there; the kernel chooses its priority. */
export function addRule(rule: SourceRule): Step {
  const message = new Message(RTM_NEWRULE, netlinkFlags.create)
    .fixed(header(rule))
    .attribute(FRA.SRC, ipBytes(rule.source))
    .u32(FRA.TABLE, rule.table)
    .attribute(FRA.PROTOCOL, Uint8Array.of(ownProtocol))
  return { what: `add rule from "${formatIp(rule.source)}" to table ${rule.table}`, message }
}

export function removeRule(rule: ListedRule): Step {
  const message = new Message(RTM_DELRULE)
    .fixed(header(rule))
    .attribute(FRA.SRC, ipBytes(rule.source))
    .u32(FRA.TABLE, rule.table)
    .u32(FRA.PRIORITY, rule.priority)
  return { what: `remove rule from "${formatIp(rule.source)}" to table ${rule.table}`, message }
}

/** The kernel's list of all families at once; empty where it has no policy routing. */
function dumpRules(socket: NetlinkSocket): Answer[] {
  try {
    return socket.request('list rules', new Message(RTM_GETRULE, netlinkFlags.dump).fixed(Buffer.alloc(ruleBytes)))
  } catch (error) {
    if (error instanceof SystemError && ['EOPNOTSUPP', 'EAFNOSUPPORT'].includes(error.code)) return []
    throw error
  }
}

/** Of the families that have rules, the two of IP count. */
const wholeAddressBits = (family: number | undefined): number | undefined =>
  ([4, 6] as const).map((ip) => (addressFamily(ip) === family ? familyBits(ip) : 0)).find((bits) => bits > 0)

/** All rules that look at one whole source address, both families. */
export function listRules(socket: NetlinkSocket): ListedRule[] {
  return dumpRules(socket)
    .filter(({ type, body }) => type === RTM_NEWRULE && body[2] === wholeAddressBits(body[0]))
    .flatMap(({ body }) => {
      const attributes = readAttributes(body, ruleBytes)
      const source = attributes.get(FRA.SRC)
      if (source === undefined) return []
      return [
        {
          source: ipFromBytes(source),
          table: attributes.get(FRA.TABLE)?.readUInt32LE(0) ?? body[4] ?? 0,
          priority: attributes.get(FRA.PRIORITY)?.readUInt32LE(0) ?? 0,
          own: attributes.get(FRA.PROTOCOL)?.[0] === ownProtocol,
        },
      ]
    })
}
