/** Who holds a VF, what it was like before, and what was made of it: the text of a holding (vf/FORMAT.md). */
import * as z from '../shared/cni/schema.ts'
import { openLine, sealLine } from '../shared/sealed.ts'

export const holdingFormat = 1

/** Made when a holding is first read: an ADD of a free VF reads none. */
function makeSchema() {
  const text = z.string()
  const optionalText = z.optional(text)
  const optionalSwitch = z.optional(z.boolean())
  const index = z.int(z.gte(1), z.lte(0x7fffffff))
  const count = z.int(z.gte(0), z.lte(0xffffffff))
  const attributes = z.strictObject({
    mac: optionalText,
    vlan: z.optional(z.strictObject({ id: count, qos: count, protocol: z.enum(['802.1q', '802.1ad']) })),
    rate: z.optional(z.strictObject({ minMbps: count, maxMbps: count })),
    spoofCheck: optionalSwitch,
    linkState: z.optional(z.enum(['auto', 'enable', 'disable'])),
    trust: optionalSwitch,
  })
  return z.strictObject({
    format: z.literal(holdingFormat),
    /** The PCI address of the VF, or of a NIC without a PF in a guest. */
    address: text,
    network: text,
    containerId: text,
    ifName: text,
    /** The pod's namespace: where it was, and what tells it from every other one of this boot. */
    netns: z.strictObject({ path: text, dev: z.number(), ino: z.number() }),
    /** Absent: no PF can be seen. */
    pf: z.optional(z.strictObject({ address: text, vf: count })),
    /** The interface as it was, and the index that it has in the pod; absent when a program in user space has the device. */
    netdev: z.optional(
      z.strictObject({
        name: text,
        mac: text,
        mtuBytes: count,
        up: z.boolean(),
        allMulticast: z.boolean(),
        promiscuous: z.boolean(),
        alternativeNames: z.array(text),
        driver: optionalText,
        podIndex: index,
      }),
    ),
    /** What the PF had for the VF, and what it was told instead. */
    before: attributes,
    set: attributes,
    /** The device information file that this attachment has made, as its caller named it. */
    deviceInfo: optionalText,
    /** The node's name: in a directory that nodes share, each has its own VFs. */
    host: text,
    bootId: text,
    /** RFC 3339, UTC. */
    heldSince: text,
  })
}
let schema: ReturnType<typeof makeSchema> | undefined

export type Holding = z.output<ReturnType<typeof makeSchema>>

export const renderHolding = (holding: Holding): string => sealLine(holding)

/** Reads a holding's text; undefined when it is not one whole holding of this format. */
export function parseHolding(text: string): Holding | undefined {
  schema ??= makeSchema()
  const read = z.safeParse(schema, openLine(text))
  return read.success ? read.data : undefined
}

/** One life of a holding: the same attachment holding the same VF again is another one. */
export const sameHolding = (a: Holding, b: Holding): boolean =>
  a.address === b.address && a.heldSince === b.heldSince && a.bootId === b.bootId
